"""What a model's outputs are worth, sample by sample: cosine, perplexity, and functions of the user's.

A metric is a mean over all samples, or exp of one: sum of ``value`` over sum of ``weight``. Nothing but two numbers a
sample is kept, and these give the standard error too, that of a ratio estimator (Cochran, Sampling Techniques, 1977,
chapter 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.errors import DataError, OptionError
from converters.printable import shown
from tfmpq.activations.values.cosines import cosines
from tfmpq.analysis.evaluation_result import MetricValue

Outputs = tuple[np.ndarray, ...]  # real values of one sample, without the batch dimension, in the file's order
SampleMetric = Callable[[Outputs, Any], float]

_ROUNDING = 1e-3  # by how much a float probability may exceed 1
_SUMS = (0.5, 1.5)  # of probabilities, on average over the rows: int8 loses those below 1/512 and rounds the others


@dataclass(frozen=True)
class Metric:
    """How outputs are judged.

    Attributes:
        name: for results.
        terms: (outputs, reference) of one sample -> (value, weight); weight 0: the sample does not count.
        exponential: the result is exp of the mean.
        against_outputs: the reference is the second file's first output, if there is a second file, and never a label.
        needs_labels: the reference must be a label; otherwise the second file's outputs are it if there are no labels.
        lower_is_better: a file loses as it rises.
        perfect: what a file scores beside itself; None: that is not known.
    """

    name: str
    terms: Callable[[Outputs, Any], tuple[float, float]]
    exponential: bool = False
    against_outputs: bool = False
    needs_labels: bool = False
    lower_is_better: bool = False
    perfect: float | None = None


def find_metric(metric: str | SampleMetric) -> Metric | None:
    """The metric of a name, or the one that a function makes; None for "top1", which has its own fields.

    Raises:
        OptionError: Unknown name, or neither a name nor a function.
    """
    if callable(metric):
        return _of_function(metric)
    if isinstance(metric, str) and metric == TOP1:
        return None
    if not isinstance(metric, str) or metric not in _METRICS:
        raise OptionError(
            f"metric={shown(metric)} is unknown: choose one of {', '.join(METRIC_NAMES)}, or give a function "
            "(outputs, label) -> float, which is called for every sample"
        )
    return _METRICS[metric]


def _of_function(function: SampleMetric) -> Metric:
    name = str(getattr(function, "__name__", type(function).__name__))

    def terms(outputs: Outputs, reference: Any) -> tuple[float, float]:
        returned = function(outputs, reference)
        value = np.asarray(returned)
        if value.size != 1 or value.dtype.kind not in "biuf":
            raise DataError(f"metric '{name}' returned {shown(returned)}: it must return one number for each sample")
        return float(value.item()), 1.0

    return Metric(name, terms)


def _cosine(outputs: Outputs, reference: Any) -> tuple[float, float]:
    """Cosines along the last dimension: their sum and number."""
    ours, theirs = np.asarray(outputs[0]), np.asarray(reference)
    if theirs.dtype.kind not in "biuf" or ours.shape != theirs.shape or not ours.ndim:
        raise DataError(
            f"cosine compares outputs of shape {ours.shape} with references of shape {theirs.shape} ({theirs.dtype}): "
            "give a second file to compare with, or labels that are the reference outputs, one array a sample"
        )
    found = cosines(*(values.reshape(-1, ours.shape[-1]) for values in (ours, theirs)))
    return float(found.sum()), float(len(found))


def _likelihood(outputs: Outputs, reference: Any) -> tuple[float, float]:
    """Negative log-likelihood of the tokens that came next, and their number; negative labels are left out."""
    scores, labels = np.asarray(outputs[0], np.float64), np.asarray(reference)
    if labels.dtype.kind not in "iu" or not scores.ndim or scores.shape[:-1] != labels.shape:
        raise DataError(
            f"perplexity needs one token number for each row of scores, but the output has shape {scores.shape} and "
            f"the labels have shape {labels.shape} ({labels.dtype}) for one sample: labels are the next tokens, "
            "integers of the output's shape without its last dimension; negative ones are left out"
        )
    rows, tokens = scores.reshape(-1, scores.shape[-1]), labels.reshape(-1).astype(np.int64)
    if tokens.max(initial=-1) >= rows.shape[1]:
        raise DataError(f"label {tokens.max()} is no token: the output has {rows.shape[1]}, 0..{rows.shape[1] - 1}")
    rows, tokens = rows[tokens >= 0], tokens[tokens >= 0]
    if not len(tokens):
        return 0.0, 0.0
    chosen = rows[np.arange(len(tokens)), tokens]
    if _are_probabilities(rows):
        if (chosen <= 0).any():
            raise DataError(
                f"token {tokens[np.argmin(chosen)]} was next and has probability 0, which makes perplexity infinite: "
                "let the model end in logits, or its output be float32 (int8 probabilities end at 1/256)"
            )
        return float((np.log(rows.sum(axis=1)) - np.log(chosen)).sum()), float(len(tokens))
    largest = rows.max(axis=1)
    return float((largest + np.log(np.exp(rows - largest[:, None]).sum(axis=1)) - chosen).sum()), float(len(tokens))


def _are_probabilities(rows: np.ndarray) -> bool:
    """Whether scores (n, classes) are probabilities, not logits."""
    within = rows.min() >= 0 and rows.max() <= 1 + _ROUNDING
    return bool(within and _SUMS[0] < rows.sum(axis=1).mean() < _SUMS[1])


_METRICS = {
    "cosine": Metric("cosine", _cosine, against_outputs=True, perfect=1.0),
    "perplexity": Metric("perplexity", _likelihood, exponential=True, needs_labels=True, lower_is_better=True),
}
TOP1 = "top1"
METRIC_NAMES = (TOP1, *_METRICS)


@dataclass
class Tally:
    """The values and weights of one file's samples.

    Attributes:
        metric: what judges them.
        values, weights: one number a sample, in the order of the samples.
    """

    metric: Metric
    values: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, outputs: list[np.ndarray], reference: Any) -> None:
        """Judges a sample.

        Args:
            outputs: of one sample, batch dimension 1 in front.
            reference: its label, or what :class:`Metric` says.

        Raises:
            DataError: The metric refuses the sample, or gives NaN or infinity.
        """
        number = len(self.values)
        try:
            value, weight = self.metric.terms(without_batch(outputs), reference)
        except DataError as error:
            raise DataError(f"sample {number}: {error}") from error
        if not math.isfinite(value):
            raise DataError(
                f"metric '{self.metric.name}' is {value} for sample {number}: look at that sample's outputs and label"
            )
        self.values.append(value)
        self.weights.append(weight)

    def measured(self) -> MetricValue:
        """The metric over all samples.

        Raises:
            DataError: No sample counts.
        """
        if not sum(self.weights):
            raise DataError(f"metric '{self.metric.name}': no sample counts, all of its labels are negative")
        single = [self.scaled(v / w) for v, w in zip(self.values, self.weights, strict=True) if w]
        return MetricValue(
            self.metric.name, self.scaled(self._mean()), _spread(self.residuals()), min(single), max(single)
        )

    def residuals(self) -> np.ndarray:
        """What each sample's being there moves the result by, to first order: (samples,), their sum 0."""
        mean, total = self._mean(), sum(self.weights)
        slope = self.scaled(mean) if self.metric.exponential else 1.0
        return slope * (np.array(self.values) - mean * np.array(self.weights)) / total

    def _mean(self) -> float:
        return math.fsum(self.values) / math.fsum(self.weights)

    def scaled(self, mean: float) -> float:
        """The metric whose samples have this mean."""
        if not self.metric.exponential:
            return mean
        return math.exp(mean) if mean < math.log(np.finfo(np.float64).max) else math.inf


def without_batch(outputs: list[np.ndarray]) -> Outputs:
    """Outputs of one sample, which have batch dimension 1 in front unless they are scalars."""
    return tuple(o[0] if o.ndim else o for o in outputs)


def paired_difference(ours: Tally, theirs: Tally) -> tuple[float, float]:
    """(first minus second, its standard error), the samples being the same."""
    difference = ours.measured().value - theirs.measured().value
    return difference, _spread(ours.residuals() - theirs.residuals())


def _spread(residuals: np.ndarray) -> float:
    """Standard error of a sum of independent residuals; 0 for a single one."""
    count = len(residuals)
    return float(np.sqrt(count / (count - 1) * (residuals**2).sum())) if count > 1 else 0.0
