"""How far a figure can be trusted that is no share: samples drawn anew, for both files the same.

The bias-corrected and accelerated bootstrap (Efron, Better bootstrap confidence intervals, Journal of the American
Statistical Association 82, 1987), its acceleration from leaving out one sample at a time. Divergences are skewed: most
samples have almost none.

The limits are about samples like those seen. What none of them shows has no part in the draws, however large it is:
with 95 % confidence no more than 3 in n of all samples are of kinds that are not among n. A divergence has no bound by
which that could be made up for: int8 probabilities allow 8 nats of ten classes, and 3 / 700 of these are 0.03 nats,
several times what a good file differs by. So it is said with the result, see :mod:`tfmpq.gate.judge`.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from tfmpq.gate.measured import Estimate
from tfmpq.gate.paired import Z

FEWEST = 30  # samples; of fewer, drawing anew makes too little of the width
_DRAWS = 2000
_GROUPS = 4000  # of more samples, sums over so many random groups are drawn: time and memory stay bounded
_AT_ONCE = 2**17  # samples
_NO_WIDTH = 1e-9  # relative to the figure: rounding of sums
_NORMAL = NormalDist()

Statistic = Callable[[np.ndarray], np.ndarray]


def bootstrap(columns: np.ndarray, statistic: Statistic, *, seed: int, same: bool = False) -> Estimate | None:
    """A function of sums over samples, and its one-sided 95 % confidence limits for samples like these.

    Args:
        columns: (samples, sums): what each sample adds to every sum.
        statistic: sums (..., sums) -> figures (...).
        seed: of the draws.
        same: whether both files give the same outputs, so that a figure without a width is no chance.

    Returns:
        None: there are fewer than :data:`FEWEST` samples, the figure is infinite, or all samples have the same, which
            says nothing of others.
    """
    count = len(columns)
    if count < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    if count > _GROUPS:
        group = rng.permutation(count) % _GROUPS
        columns = np.stack([np.bincount(group, weights=column) for column in columns.T], 1)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        total = columns.sum(0)
        value, drawn = float(statistic(total)), statistic(_sums_of_draws(columns, rng))
        left_out = statistic(total - columns)
    if not np.isfinite([value, *drawn, *left_out]).all():
        return None
    low, high = (float(end) for end in np.quantile(drawn, _levels(value, drawn, left_out)))
    if not same and high - low <= _NO_WIDTH * abs(value):
        return None
    return Estimate(value, min(low, value), max(high, value))


def _sums_of_draws(columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(draws, sums)."""
    count, step = len(columns), max(1, _AT_ONCE // len(columns))
    sizes = [min(step, _DRAWS - start) for start in range(0, _DRAWS, step)]
    return np.concatenate([columns[rng.integers(count, size=(size, count))].sum(1) for size in sizes])


def _levels(value: float, drawn: np.ndarray, left_out: np.ndarray) -> list[float]:
    """Which quantiles of the drawn figures are the limits: Efron's equation 2.3."""
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn == value) / 2) / len(drawn)
    bias = _NORMAL.inv_cdf(min(max(below, 1 / len(drawn)), 1 - 1 / len(drawn)))
    influence = left_out.mean() - left_out
    spread = (influence**2).sum()
    acceleration = (influence**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = [bias + z for z in (-Z, Z)]
    return [_NORMAL.cdf(bias + z / max(1 - acceleration * z, 1e-3)) for z in shifted]
