from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from converters.errors import BudgetError
from tfmpq.plan.search import fit_bytes, fit_score
from tfmpq.recipe.budgets import MaxBytes, MaxDrop
from tfmpq.stages import Planned

ROWS, ROW_BYTES = 1000, 20
EVERYTHING = float(ROWS * ROW_BYTES)
HEADER = 5000
Plan = list[Any]  # of layers, of which only the counts matter here


def choose(budget: float) -> Plan:
    """One layer whose rows get second points one after the other."""
    assert 0 <= budget <= EVERYTHING
    return [SimpleNamespace(counts=np.where(np.arange(ROWS) < budget // ROW_BYTES, 2, 1))]


def second_points(plan: Plan) -> int:
    return int((plan[0].counts - 1).sum())


def file_size(plan: Plan) -> int:
    """Alignment and the operators of the second points come on top of the bytes the budget counts."""
    extra = second_points(plan)
    return HEADER + (400 if extra else 0) + -(-extra * ROW_BYTES // 16) * 16


@pytest.mark.parametrize("room", [0, 399, 432, 5000, 19_999, 20_400])
def test_the_largest_file_that_fits(room: int):
    plan = fit_bytes(MaxBytes(HEADER + room), choose, EVERYTHING, file_size)
    assert file_size(plan) <= HEADER + room
    fitting = max(n for n in range(ROWS + 1) if file_size(choose(n * ROW_BYTES)) <= HEADER + room)
    # Twelve halvings leave 1/4096 of the range, less than a row here.
    assert fitting - 1 <= second_points(plan) <= fitting


def test_everything_where_there_is_room():
    sizes: list[int] = []

    def size(plan: Plan) -> int:
        sizes.append(file_size(plan))
        return sizes[-1]

    assert second_points(fit_bytes(MaxBytes(10**6), choose, EVERYTHING, size)) == ROWS
    assert len(sizes) <= 2  # every size costs a conversion


def test_a_file_that_is_too_large_without_further_points():
    with pytest.raises(
        BudgetError, match=r"MaxBytes\(4999\): the file has 5000 bytes with one point in every row\. Lower"
    ):
        fit_bytes(MaxBytes(HEADER - 1), choose, EVERYTHING, file_size)


class Scores:
    """A budget's evaluate(): 90 for the float file, else what ``score`` makes of the number of second points."""

    def __init__(self, score: Callable[[int], float], reference: float = 90.0) -> None:
        self.score, self.reference = score, reference
        self.calls = 0

    def __call__(self, content: bytes) -> float:
        self.calls += 1
        return self.reference if content == b"float" else self.score(int(content))


def search(drop: float, scores: Scores, eight_bits: int = 10 * ROWS) -> int:
    """Second points of the plan; the file with 8-bit rows is as good as one with ``eight_bits`` of them."""

    def convert(plan: list[Planned]) -> bytes:
        return b"%d" % second_points(plan)

    return second_points(
        fit_score(MaxDrop(drop, scores), choose, EVERYTHING, convert, b"float", lambda: b"%d" % eight_bits)
    )


def rising(extra: int) -> float:
    return 80.0 + 9.0 * extra / ROWS


@pytest.mark.parametrize(("drop", "fewest"), [(5.5, 500), (9.99, 2), (1.0, ROWS), (1.5, 945)])
def test_the_fewest_points_that_are_good_enough(drop: float, fewest: int):
    scores = Scores(rising)
    found = search(drop, scores)
    assert rising(found) >= 90.0 - drop
    # Six halvings leave 1/64 of the range.
    assert fewest <= found <= fewest + ROWS / 64
    assert scores.calls <= 3 + 6


def test_no_points_where_none_are_needed():
    scores = Scores(rising)
    assert search(10.0, scores) == 0
    assert scores.calls == 2


def test_a_noisy_score_still_ends_at_a_plan_that_was_good_enough():
    def noisy(extra: int) -> float:
        return rising(extra) + 2.0 * np.sin(extra)

    for drop in np.linspace(2.0, 9.0, 15):
        found = search(drop, Scores(noisy))
        assert noisy(found) >= 90.0 - drop


def test_a_score_that_cannot_be_reached():
    expected = r"MaxDrop\(0\.5\): the float model scores 90, the conversion with all points 89, and with 8 bits in all "
    with pytest.raises(BudgetError, match=expected + r"rows 89\.72\. Raise bits"):
        search(0.5, Scores(rising), eight_bits=ROWS * 108 // 100)
    with pytest.raises(BudgetError, match=expected + r"rows 89\.09\. It is the int8 activations that cost more"):
        search(0.5, Scores(rising), eight_bits=ROWS * 101 // 100)


@pytest.mark.parametrize("scores", [Scores(lambda extra: float("nan")), Scores(rising, reference=float("nan"))])
def test_a_score_that_is_no_number_is_not_good_enough(scores: Scores):
    with pytest.raises(BudgetError, match=r"scores .*nan"):
        search(1.0, scores)
