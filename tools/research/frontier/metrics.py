"""How good a file's outputs are: score, difference to stock, agreement with float, each with its standard error."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.analysis.divergence import divergence
from tools.research.frontier.subjects import Data

Outputs = list[np.ndarray]  # real values, one array an output, samples first
_GROUPS = 10  # of the jackknife


@dataclass(frozen=True, eq=False)
class References:
    """What all files of a model are compared with.

    Attributes:
        real: the float model's outputs.
        stock: stock int8's.
        data: the evaluation data.
    """

    real: Outputs
    stock: Outputs
    data: Data

    @functools.cached_property
    def stock_scores(self) -> np.ndarray:
        """See :func:`_scores`: takes seconds for detectors."""
        return _scores(self.stock, self.data)


def measure(outputs: Outputs, references: References) -> dict[str, float | None]:
    """The measured fields of a :class:`tools.research.frontier.rows.Row`, scores and agreement in percent."""
    float_outputs, data = references.real, references.data
    noise = [
        sqnr_db(float((a.astype(np.float64) ** 2).sum()), float(((a.astype(np.float64) - b) ** 2).sum()))
        for a, b in zip(float_outputs, outputs, strict=True)
    ]
    result: dict[str, float | None] = {"sqnr_db": min(noise) if np.isfinite(min(noise)) else None}
    count = len(outputs[0])
    if data.entry is not None:
        return result | _own_score(outputs, references)
    mine, real, stock = (o[0].reshape(count, -1) for o in (outputs, float_outputs, references.stock))
    if len(outputs) > 1 or mine.shape[1] < 2:
        return result  # no classifier
    predicted = mine.argmax(1)
    agree = (predicted == real.argmax(1)).astype(float)
    result |= {"agreement": 100 * agree.mean(), "agreement_error": 100 * _error(agree), "kl": divergence(real, mine)}
    if data.truth is not None:
        right = (predicted == data.truth).astype(float)
        paired = right - (stock.argmax(1) == data.truth)
        result |= {"score": 100 * right.mean(), "score_error": 100 * _error(right)}
        result |= {"minus_stock": 100 * paired.mean(), "minus_stock_error": 100 * _error(paired)}
    return {name: None if value is None else float(value) for name, value in result.items()}


def _error(values: np.ndarray) -> float:
    """Standard error of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _scores(outputs: Outputs, data: Data) -> np.ndarray:
    """A score of the whole set, such as mAP, and those without one group of samples each."""
    every = np.arange(len(data.truth))
    groups = min(_GROUPS, len(every))
    kept = [every, *(every[every % groups != g] for g in range(groups))]
    return np.array([data.entry.score([v[keep] for v in outputs], [data.truth[i] for i in keep]) for keep in kept])


def _own_score(outputs: Outputs, references: References) -> dict[str, float | None]:
    """With errors from the jackknife."""
    mine = _scores(outputs, references.data)
    difference = mine - references.stock_scores

    def error(values: np.ndarray) -> float:
        return float(np.sqrt((len(values) - 1) * values.var()))

    return {
        "score": float(mine[0]),
        "score_error": error(mine[1:]),
        "minus_stock": float(difference[0]),
        "minus_stock_error": error(difference[1:]),
    }
