"""Scores in front of a softmax: how low they go until exp() makes nothing of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.rewriting.masks import Way
from converters.tflite.graph import Model, Op, Tensor
from tfmpq.activations.values.inner_values import Sample, inner_values

# A row of scores whose largest is below half of the smallest of all, or this, is masked as a whole: what comes of it is
# no attention, and nothing can be learned from it.
_MASKED = -500.0
_MASKS = -40.0  # scores that never get here are not masked
_SPARE = 4.0  # e-foldings, for samples whose scores are lower than those seen
FLOAT, INT8 = 2.0**-24, 2.0**-9  # half a step of a probability


@dataclass
class _Seen:
    """What was seen of one tensor."""

    low: float = np.inf
    high: float = -np.inf
    least: float = np.inf  # magnitude of what is not 0
    tops: list[np.ndarray] = field(default_factory=list)  # largest value of each row; softmax inputs only


@dataclass(frozen=True)
class Scores:
    """Extremes of tensors on samples.

    Attributes:
        spans: tensor -> smallest and largest value.
        least: tensor -> smallest magnitude of those that are not 0.
        tops: input of a softmax -> smallest of its rows' largest values, rows that are masked as a whole left out.
    """

    spans: Mapping[Tensor, tuple[float, float]]
    least: Mapping[Tensor, float]
    tops: Mapping[Tensor, float]

    def bound(self, way: Way, precision: float) -> float:
        """Value that arrives at the way's end as nothing: ``way.factor`` times any smaller one does as well.

        Args:
            way: from a tensor to a softmax.
            precision: what counts as nothing, of a probability.

        Returns:
            What the tensor may contribute at least, in units of the softmax's input. -inf: nothing is known.
        """
        scores = way.softmax.input(0)
        top = self.tops.get(scores)
        if top is None:
            return -np.inf
        vanishing = np.log(max(scores.shape[-1], 1) / precision) + _SPARE
        return top - vanishing - sum(max(factor * v for v in self.span(t)) for t, factor in way.added)

    def span(self, tensor: Tensor) -> tuple[float, float]:
        """Extremes of a tensor that was measured, or of a constant."""
        if tensor.data is None:
            return self.spans[tensor]
        values = tensor.array()
        return float(values.min()), float(values.max())


def measure_scores(model: Model, ways: Iterable[Way], others: Iterable[Tensor], samples: Iterable[Sample]) -> Scores:
    """Runs the float model for the extremes of what softmaxes read, and of what is added on the ways there.

    Args:
        model: float.
        ways: to the softmaxes.
        others: further tensors of which ``spans`` and ``least`` are wanted.
        samples: a few.

    Raises:
        FileFormatError: The runtime does not run the model.
    """
    ways = list(ways)
    inputs = {way.softmax.input(0): None for way in ways}
    added = (t for way in ways for t, _ in way.added)
    wanted = [t for t in dict.fromkeys((*inputs, *added, *others)) if t.data is None]
    seen = {t: _Seen() for t in wanted}
    for values in inner_values(model, wanted, samples):
        for tensor, value in values.items():
            _see(seen[tensor], value, rows=tensor in inputs)
    return Scores(
        {t: (s.low, s.high) for t, s in seen.items()},
        {t: s.least for t, s in seen.items()},
        {t: top for t in inputs if (top := lowest_top(np.concatenate(seen[t].tops), seen[t].low)) is not None},
    )


def softmaxes(ways: Iterable[Way]) -> Sequence[Op]:
    """Where ways end, each once."""
    return list(dict.fromkeys(way.softmax for way in ways))


def softmax(values: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _see(seen: _Seen, value: np.ndarray, *, rows: bool) -> None:
    if rows:
        seen.tops.append(value.max(-1).ravel() if value.size else np.empty(0))
    if not value.size:
        return
    seen.low, seen.high = min(seen.low, float(value.min())), max(seen.high, float(value.max()))
    other = np.abs(value[value != 0])
    seen.least = min(seen.least, float(other.min())) if other.size else seen.least


def lowest_top(tops: np.ndarray, low: float) -> float | None:
    """The smallest of the largest scores of rows, rows that are masked as a whole left out.

    Args:
        tops: the largest score of each row.
        low: the smallest score of all.

    Returns:
        None where no row is left.
    """
    tops = tops[tops > max(low / 2, _MASKED)] if low <= _MASKS else tops
    return float(tops.min()) if tops.size and np.isfinite(tops).all() else None
