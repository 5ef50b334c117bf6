"""How far a file's outputs are from the float model's, beside the stock int8 file's: what LikeStock is judged by.

Few samples are kept out of the fit, and few of them carry most of what a classifier's KL divergence or its changed
predictions are on them. So these are not what is measured. Measured is the error of the logits, at the five classes
that the float model finds likeliest, as all samples have much of that; and from it follows which share of predictions
would change if such errors were added, independent and normal, to the float logits of many samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from converters.layers.output_kind import OutputKind, output_kind
from converters.tflite.graph import Model
from tfmpq.activations.output_noise import Feed, Outputs, read_outputs

Measure = Literal["predictions", "variance"]
# Percentage points that LikeStock allows where no margin is given: of predictions that change, which on networks whose
# probabilities are right costs a fraction of it in top-1; of variance, 1 is a cosine of .005 for an embedding.
PREDICTIONS, EMBEDDING, VALUES = 2.0, 1.0, 0.2
_LIKELIEST = 5  # classes whose logits count: an error elsewhere changes no prediction
_ROWS = 128  # of float logits, for how close predictions are to changing
_DRAWS = 256  # of errors, for each of them
_CONSTANT = 1e-12  # variance relative to the mean square


@dataclass(frozen=True)
class Part:
    """What is compared of an output.

    Attributes:
        output: its number.
        measure: share of ``"predictions"`` that change, or of its ``"variance"`` that is error.
        margin: percentage points that are allowed where nothing else is asked for.
    """

    output: int
    measure: Measure
    margin: float


@dataclass(frozen=True, eq=False)
class Yardstick:
    """The float model's outputs on samples.

    Attributes:
        parts: what is compared.
        samples: that files are run on.
        reference: the float model's outputs on them.
        gaps: by part that compares predictions, (rows, classes - 1) by how much the float model's best logit is above
            the next ones.
    """

    parts: tuple[Part, ...]
    samples: Sequence[Feed]
    reference: Outputs
    gaps: dict[int, np.ndarray]

    @classmethod
    def of(cls, model: Model, samples: Sequence[Feed], further: Iterable[Feed]) -> Yardstick:
        """Runs the float model.

        Args:
            model: the float model.
            samples: that files are to be run on.
            further: other samples, of which it is only of interest how sure the float model is.
        """
        reference = read_outputs(model, samples)
        parts = _parts(reference, output_kind(model.graph) if len(model.graph.outputs) == 1 else "values")
        ranked = [number for number, part in enumerate(parts) if part.measure == "predictions"]
        gaps = {number: _gaps(reference.values[parts[number].output]) for number in ranked}
        if ranked:
            rows = min(len(found) for found in gaps.values())
            wanted = math.ceil(max(_ROWS - rows, 0) * len(samples) / max(rows, 1))
            more = read_outputs(model, list(islice(further, wanted))) if wanted else Outputs([], [])
            if more.values and more.values[0]:
                gaps = {n: np.concatenate([found, _gaps(more.values[parts[n].output])]) for n, found in gaps.items()}
        return cls(parts, samples, reference, gaps)

    def noise(self, model: Model) -> np.ndarray | None:
        """(samples, parts) mean squared error of a file: of differences of likely logits, or relative to the variance.

        It is what rises evenly with the predicted cost of rounding. None: the file has other outputs.
        """
        found = read_outputs(model, self.samples)
        if len(found.values) != len(self.reference.values):
            return None
        return np.stack([self._noise(part, found) for part in self.parts], axis=1)

    def _noise(self, part: Part, found: Outputs) -> np.ndarray:
        expected, made = self.reference.values[part.output], found.values[part.output]
        if part.measure == "predictions":
            return np.array([_logit_noise(x, y) for x, y in zip(expected, made, strict=True)])
        variance = float(np.concatenate([np.ravel(x) for x in expected]).var())
        errors = np.array([float(((x - y) ** 2).mean()) for x, y in zip(expected, made, strict=True)])
        return errors / variance

    def distance(self, noise: np.ndarray) -> np.ndarray:
        """(parts,) percentage points that such a mean noise, (parts,), is worth."""
        return np.array(
            [100 * (_changed(self.gaps[n], float(x)) if n in self.gaps else float(x)) for n, x in enumerate(noise)]
        )


def _parts(reference: Outputs, kind: OutputKind) -> tuple[Part, ...]:
    parts: list[Part] = []
    for number, soft in enumerate(reference.probabilities):
        if not _varies(reference.values[number]):
            continue
        ranked = soft or kind == "classes"
        if ranked and reference.values[number][0].shape[-1] > 1:
            parts.append(Part(number, "predictions", PREDICTIONS))
        if not soft:  # numbers that look like logits may be measurements
            margin = PREDICTIONS if ranked else EMBEDDING if kind == "embedding" else VALUES
            parts.append(Part(number, "variance", margin))
    return tuple(parts)


def _varies(values: Sequence[np.ndarray]) -> bool:
    """Whether numbers are finite and not all the same."""
    every = np.concatenate([np.ravel(x) for x in values])
    power = float((every**2).mean()) if every.size else 0.0
    return bool(np.isfinite(power) and every.var() > _CONSTANT * power)


def _likeliest(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, n) numbers and logits of the likeliest classes, best first."""
    rows = logits.reshape(-1, logits.shape[-1])
    order = np.argsort(-rows, axis=1, kind="stable")[:, :_LIKELIEST]
    return order, np.take_along_axis(rows, order, axis=1)


def _gaps(logits: Sequence[np.ndarray]) -> np.ndarray:
    best = np.concatenate([_likeliest(values)[1] for values in logits])
    chosen = np.linspace(0, len(best) - 1, min(len(best), _ROWS)).astype(int)
    return best[chosen, :1] - best[chosen, 1:]


def _logit_noise(expected: np.ndarray, made: np.ndarray) -> float:
    order, real = _likeliest(expected)
    found = np.take_along_axis(made.reshape(-1, made.shape[-1]), order, axis=1)
    errors = (found[:, :1] - found[:, 1:]) - (real[:, :1] - real[:, 1:])
    return float((errors**2).mean())


def _changed(gaps: np.ndarray, noise: float) -> float:
    """Share of predictions that change where differences of logits have errors of this variance."""
    # Each class has its own error, so that differences to the best one share that of the best.
    errors = np.random.default_rng(0).normal(size=(_DRAWS, 1, gaps.shape[1] + 1)) * math.sqrt(noise / 2)
    closest = (gaps[None] + errors[..., :1] - errors[..., 1:]).min(axis=2)
    return float((closest < 0).mean())
