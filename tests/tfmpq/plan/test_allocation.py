from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmpq.algorithms.epsilon import epsilon_counts
from tfmpq.plan.allocation import LayerOptions, allocate, joint_order

some = settings(max_examples=300, deadline=None, derandomize=True)
# Whole gains and costs: sums are exact and ties common.
GAINS = st.integers(-3, 20)


@st.composite
def layers(draw: st.DrawFn, *, most: int = 3) -> list[LayerOptions]:
    """Up to ``most`` units in each of one to three layers, with and without a given order."""
    result = []
    for i in range(draw(st.integers(1, 3))):
        units, levels = draw(st.integers(1, most)), draw(st.integers(0, 2))
        gains = draw(st.lists(GAINS, min_size=units * levels, max_size=units * levels))
        order = draw(st.one_of(st.none(), st.permutations(range(units))))
        result.append(
            LayerOptions(
                f"layer {i}",
                np.array(gains, float).reshape(units, levels),
                float(draw(st.integers(1, 7))),
                None if order is None else np.array(order),
            )
        )
    return result


def gain_of(options: Sequence[LayerOptions], counts: dict[str, np.ndarray]) -> float:
    total = 0.0
    for o in options:
        taken = np.arange(1, o.gains.shape[1] + 1) < counts[o.name][:, None]
        total += float(o.gains[taken].sum())
    return total


def cost_of(options: Sequence[LayerOptions], counts: dict[str, np.ndarray]) -> float:
    return sum(o.cost * float((counts[o.name] - 1).sum()) for o in options)


def allowed(o: LayerOptions, counts: np.ndarray) -> bool:
    """Whether a layer may have these counts."""
    if counts.min() < 1 or counts.max() > o.gains.shape[1] + 1:
        return False
    if o.order is None:
        return True
    ranked = counts[o.order]  # falling, and a level starts when the one below covers all
    return bool((np.diff(ranked) <= 0).all() and ranked[0] - ranked[-1] <= 1)


def chains(o: LayerOptions) -> list[np.ndarray]:
    """Gains of the units that must be served in turn."""
    gains = o.gains
    return list(gains) if o.order is None else [gains[o.order].T.ravel()]


def largest_step(options: Sequence[LayerOptions]) -> float:
    """The largest rise between corners of the concave hulls over the chains' gains: what greedy may miss."""
    result = 0.0
    for chain in (chain for o in options for chain in chains(o)):
        height = np.concatenate([[0.0], np.cumsum(chain)])
        last = 0
        for k in range(1, len(height)):
            before, after = range(k), range(k + 1, len(height))
            if all((j - i) * height[k] >= (j - k) * height[i] + (k - i) * height[j] for i in before for j in after):
                result, last = max(result, height[k] - height[last]), k
    return result


def everything(options: Sequence[LayerOptions]) -> float:
    return sum(o.cost * o.gains.size for o in options)


@some
@given(layers(), st.integers(0, 60))
def test_is_optimal_up_to_one_step(options: list[LayerOptions], budget: int):
    counts = allocate(options, budget)
    assert all(allowed(o, counts[o.name]) for o in options)
    assert cost_of(options, counts) <= budget
    choices = []
    for o in options:
        tried = (np.array(c) for c in product(range(1, o.gains.shape[1] + 2), repeat=len(o.gains)))
        choices.append([c for c in tried if allowed(o, c)])
    plans = ({o.name: c for o, c in zip(options, plan, strict=True)} for plan in product(*choices))
    best = max(gain_of(options, plan) for plan in plans if cost_of(options, plan) <= budget)
    found = gain_of(options, counts)
    assert best - largest_step(options) <= found <= best
    if budget >= everything(options):
        assert found == best


@some
@given(layers(most=6), st.lists(st.integers(0, 250), min_size=2, max_size=8))
def test_more_budget_is_never_worse(options: list[LayerOptions], budgets: list[int]):
    plans = [allocate(options, budget) for budget in sorted(budgets)]
    for budget, plan in zip(sorted(budgets), plans, strict=True):
        assert all(allowed(o, plan[o.name]) for o in options)
        assert cost_of(options, plan) <= budget
    gains = [gain_of(options, plan) for plan in plans]
    assert gains == sorted(gains)
    assert gains[0] >= 0


@some
@given(layers(most=6), st.integers(0, 250))
def test_rows_without_gain_are_not_served(options: list[LayerOptions], budget: int):
    counts = allocate(options, budget)
    for o in options:
        units = counts[o.name] - 1
        for chain, taken in zip(chains(o), units if o.order is None else [units.sum()], strict=True):
            # Whatever was taken last paid, back to any earlier unit.
            assert all(chain[start:taken].sum() > 0 for start in range(taken))


@some
@given(layers(most=6), st.integers(0, 100))
def test_the_best_rows_come_first(options: list[LayerOptions], budget: int):
    # Among rows of equal cost, and as long as there is room, gain alone decides.
    free = [replace(o, gains=o.gains[:, :1], order=None) for o in options if o.gains.shape[1]]
    counts = allocate(free, budget)
    left = budget - cost_of(free, counts)
    for o in free:
        gains, served = o.gains[:, 0], counts[o.name] == 2
        if (~served).any() and o.cost <= left:
            assert gains[~served].max() <= 0
        if served.any() and (~served).any():
            assert gains[served].min() >= gains[~served].max()


def test_a_shared_order_is_kept_where_the_first_row_gains_little():
    gains = np.array([[0.0], [6.0], [1.0]])
    free = LayerOptions("free", gains, 10.0)
    tied = LayerOptions("tied", gains, 10.0, np.array([0, 1, 2]))
    assert allocate([free], 10)["free"].tolist() == [1, 2, 1]
    assert allocate([tied], 10)["tied"].tolist() == [1, 1, 1]  # the first row alone is not worth it
    assert allocate([tied], 29)["tied"].tolist() == [2, 2, 1]
    assert allocate([tied], 30)["tied"].tolist() == [2, 2, 2]


def test_what_fits_of_a_step_is_taken_and_the_rest_of_the_budget_goes_on():
    # Rows 1, 2 and 9 are one step (3 together gain 4 a row); with room for two, the first two are taken apart, and
    # the second of those comes after the other layer.
    tied = LayerOptions("tied", np.array([[3.0], [1.0], [8.0]]), 10.0, np.arange(3))
    other = LayerOptions("other", np.array([[2.0]]), 10.0)
    assert {n: c.tolist() for n, c in allocate([tied, other], 30).items()} == {"tied": [2, 2, 2], "other": [1]}
    assert {n: c.tolist() for n, c in allocate([tied, other], 20).items()} == {"tied": [2, 1, 1], "other": [2]}
    assert {n: c.tolist() for n, c in allocate([tied, other], 29.9).items()} == {"tied": [2, 1, 1], "other": [2]}
    # A second point that only pays together with a third is not taken alone.
    late = LayerOptions("late", np.array([[-1.0, 9.0]]), 10.0)
    assert allocate([late], 19)["late"].tolist() == [1]
    assert allocate([late], 20)["late"].tolist() == [3]


def test_three_points_of_a_shared_order_are_nested():
    gains = np.array([[5.0, 4.0], [3.0, 2.0], [1.0, 0.5]])
    options = [LayerOptions("x", gains, 1.0, np.array([1, 0, 2]))]
    plans = [allocate(options, budget)["x"].tolist() for budget in range(7)]
    # Row 1, then 0, then 2; third points only when all have two (1 and 0.5 + .. pool: 0.5 never comes before 4).
    assert plans[:4] == [[1, 1, 1], [1, 2, 1], [2, 2, 1], [2, 2, 2]]
    assert plans[4:] == [[2, 3, 2], [3, 3, 2], [3, 3, 3]]


def test_results_repeat():
    rng = np.random.default_rng(0)
    options = [LayerOptions(str(i), rng.integers(0, 3, (20, 2)).astype(float), 8.5) for i in range(4)]
    first, again = allocate(options, 300), allocate(options, 300)
    assert all((first[name] == again[name]).all() for name in first)


def test_ties_go_to_the_first_layer_and_row():
    options = [LayerOptions(name, np.ones((2, 1)), 1.0) for name in "ab"]
    plans = [[allocate(options, budget)[n].tolist() for n in "ab"] for budget in range(4)]
    assert plans == [[[1, 1], [1, 1]], [[2, 1], [1, 1]], [[2, 2], [1, 1]], [[2, 2], [2, 1]]]


def test_one_point_layers_and_no_layers():
    assert allocate([LayerOptions("x", np.zeros((3, 0)), 5.0)], 100)["x"].tolist() == [1, 1, 1]
    assert allocate([LayerOptions("x", np.zeros((3, 0)), 5.0, np.arange(3))], 100)["x"].tolist() == [1, 1, 1]
    assert allocate([], 100) == {}


def test_a_joint_order_weighs_its_members_alike():
    # The second member's gains are 1000 times as large, which is its own unit only.
    first, second = np.array([3.0, 1.0, 0.0]), 1000 * np.array([0.0, 1.0, 1.5])
    assert joint_order([first, second]).tolist() == [0, 1, 2]  # 0.75, 0.25 + 0.4, 0.6
    assert joint_order([first, second]).tolist() == joint_order([1000 * first, second]).tolist()
    assert joint_order([second]).tolist() == [2, 1, 0]
    assert joint_order([np.zeros(3), np.zeros(3)]).tolist() == [0, 1, 2]
    # Further points may cost a little; that a member's gains cancel must not blow it up.
    assert joint_order([np.array([1.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])]).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("epsilon", "counts"), [(0.0, [3, 3, 1]), (0.01, [3, 3, 1]), (0.05, [3, 2, 1]), (0.1, [2, 2, 1]), (1.0, [1, 1, 1])]
)
def test_the_epsilon_rule(epsilon: float, counts: list[int]):
    errors = np.array([[2.0, 0.15, 0.0], [0.2, 0.05, 0.0], [0.1, 0.02, 0.0]])
    energy = np.array([2.0, 1.0, 0.0])  # the last row is dead: its error of 0 is enough
    found = epsilon_counts(errors, energy, epsilon)
    assert found.tolist() == counts
    assert errors[-1].tolist() == [0.1, 0.02, 0.0]  # left alone
