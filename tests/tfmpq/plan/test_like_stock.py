"""The search for the smallest file that is like stock, on files of which only noise and size are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tfmpq.activations.output_noise import Outputs
from tfmpq.measure.likeness import Part, Yardstick
from tfmpq.plan.like_stock import Judge, Likeness, Ran, fit_stock

SAMPLES, ROWS, ROW_BYTES, SMALLEST = 12, 1000, 10.0, 5000
BASE = ROWS * ROW_BYTES
SPREAD = np.exp(0.2 * np.random.default_rng(0).normal(size=SAMPLES))
SPREAD /= SPREAD.mean()


def choose(budget: float) -> Any:
    """One layer whose rows get second points, the best first; its cost falls fast, then slowly."""
    assert 0 <= budget <= BASE + 1e-6
    extra = int(budget // ROW_BYTES + 1e-9)
    cost = 0.01 + np.exp(-np.linspace(0, 5, ROWS))[extra:].sum() / ROWS
    return [
        SimpleNamespace(counts=np.where(np.arange(ROWS) < extra, 2, 1), lowering="split", remaining_cost=lambda _: cost)
    ]


class Files:
    """Runs plans: noise is what activations lose, and what the cost brings, ``slope`` times of what is predicted."""

    def __init__(self, slope: float = 0.1, floor: float = 0.01, bend: float = 1.0, spread: float = 1.0) -> None:
        self.slope, self.floor, self.bend, self.spread, self.shares = slope, floor, bend, spread, []

    def mean(self, share: float) -> float:
        return self.floor + self.slope * choose(share * BASE)[0].remaining_cost(None) ** self.bend

    def __call__(self, plan: Any) -> Ran:
        extra = int((plan[0].counts - 1).sum())
        self.shares.append(extra / ROWS)
        noise = self.mean(extra / ROWS) * (1 + self.spread * (SPREAD - 1))
        return Ran(noise[:, None], SMALLEST + int(extra * ROW_BYTES))


def search(
    files: Files, *, stock: float = 0.01, margin: float = 1.0, eight: float = 0.01, most: int = 10**6, fitted=False
) -> Likeness:
    """Noise is relative to the variance, so that 1 % of it is a percentage point."""
    known = np.full((SAMPLES, 1), stock)
    yardstick = Yardstick((Part(0, "variance", 0.2),), (), Outputs([], []), known, {})
    judge = Judge(yardstick, np.full((SAMPLES, 1), eight), margin)
    return fit_stock(choose, BASE, BASE, run=files, judge=judge, most_bytes=most, fitted=fitted)


@pytest.mark.parametrize("bend", [1.0, 1.3])
@pytest.mark.parametrize("margin", [0.2, 0.5, 1.0])
def test_the_smallest_that_is_close_enough_is_found_with_few_files(margin: float, bend: float):
    files = Files(bend=bend)
    found = search(files, margin=margin)
    assert len(files.shares) <= 5
    assert found.chosen.good
    assert files.mean(found.chosen.share) <= 0.01 + margin / 100
    error = files.mean(found.chosen.share) * SPREAD.std(ddof=1) / SAMPLES**0.5
    fewest = next(s for s in np.arange(0, 1, 0.005) if files.mean(s) + error <= 0.01 + margin / 100)
    assert fewest - 1e-9 <= found.chosen.share <= fewest + 0.06


def test_no_points_where_none_are_needed():
    files = Files()
    found = search(files, margin=4.0)
    assert (found.chosen.share, files.shares) == (0.0, [0.0])
    assert [trial.share for trial in found.trials] == [0.0, 0.05, 0.1, 0.2]  # told all the same
    assert found.expected(found.trials[2])[0] == pytest.approx(files.mean(0.1))


def test_samples_of_the_fit_are_not_trusted_below_a_tenth():
    assert search(Files(), margin=4.0, fitted=True).chosen.share == 0.1


def test_few_or_uneven_samples_cost_more_bytes():
    assert search(Files(spread=3.0)).chosen.share > search(Files(spread=0.1)).chosen.share


def test_what_activations_lose_is_not_asked_of_points():
    """8-bit rows are further from float than stock: files are held against them."""
    files = Files(floor=0.03)
    found = search(files, eight=0.03)
    assert found.chosen.good
    assert found.chosen.share < 0.5
    assert files.mean(found.chosen.share) <= 0.03 + 0.01


def test_where_nothing_is_close_enough_the_best_is_taken():
    found = search(Files(floor=0.05))
    assert not found.chosen.good
    assert found.chosen.beyond > 0
    # The last points bring less than the samples can tell.
    assert 0.3 < found.chosen.share <= 1.0


def test_never_larger_than_stock():
    free = search(Files(), margin=0.2).chosen
    assert free.ran is not None
    most = free.ran.bytes - 1000
    limited = search(Files(), margin=0.2, most=most).chosen
    assert limited.ran is not None
    assert most - 400 <= limited.ran.bytes <= most
    assert not limited.good
    # Where even the smallest is larger, the size is no reason to lose.
    assert search(Files(), margin=0.2, most=SMALLEST - 1).chosen.share == free.share


def test_one_sample_proves_nothing():
    yardstick = Yardstick((Part(0, "variance", 0.2),), (), Outputs([], []), np.full((1, 1), 0.01), {})
    judge = Judge(yardstick, np.full((1, 1), 0.01), 4.0)

    def run(plan: Any) -> Ran:
        return Ran(Files()(plan).noise[:1], SMALLEST)

    found = fit_stock(choose, BASE, BASE, run=run, judge=judge, most_bytes=10**6, fitted=False)
    assert not found.chosen.good
