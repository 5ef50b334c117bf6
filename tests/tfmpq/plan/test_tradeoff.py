"""The joint choice of forms and points, against exhaustive search on small problems."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmpq.plan.allocation import LayerOptions, allocate
from tfmpq.plan.layer_choice import Choice, LayerChoice, Option, Ranking
from tfmpq.plan.tradeoff import trade


def choice(
    name: str, gains: list[float], split: list[float], fused: float | None, *, cost: float = 10.0
) -> LayerChoice:
    """``fused``: time of int8 rows, all of which then have their points."""
    forms = [Option("split", np.array(split))]
    if fused is not None:
        forms.append(Option("fused", np.array([np.inf] * len(gains) + [fused]), beyond=True))
    return LayerChoice(name, np.arange(len(gains)), np.array(gains), cost, tuple(forms))


def gained(choices: list[LayerChoice], layers: dict[str, Choice]) -> float:
    return sum(float(c.gains[: layers[c.name].steps].sum()) for c in choices)


def time_of(choices: list[LayerChoice], layers: dict[str, Choice]) -> float:
    forms = {(c.name, f.name): f for c in choices for f in c.forms}
    return sum(float(forms[name, found.form].time[found.steps]) for name, found in layers.items())


def test_without_a_limit_on_time_it_is_the_knapsack_on_bytes():
    rng = np.random.default_rng(0)
    choices, options = [], []
    for i, (rows, cost) in enumerate(((40, 8.0), (25, 30.0), (60, 5.0))):
        gains = np.sort(rng.exponential(size=rows))[::-1]
        choices.append(LayerChoice(str(i), np.arange(rows), gains, cost, (Option("fused", np.zeros(rows + 1)),)))
        options.append(LayerOptions(str(i), gains[:, None], cost))
    for budget in (0.0, 7.9, 100.0, 400.0, 1e4):
        found = trade(choices, budget, np.inf)
        other = allocate(options, budget)
        theirs = sum(float(c.gains[other[c.name] > 1].sum()) for c in choices)
        assert found.bytes <= budget
        # A price serves whole ties only: at most the step at which the budget runs out, and smaller ones, differ.
        assert gained(choices, found.layers) >= theirs - max(c.gains.max() for c in choices)
    assert trade(choices, 1e4, np.inf).bytes == 40 * 8 + 25 * 30 + 60 * 5


def test_few_rows_do_not_pay_for_a_concatenation():
    # Of both layers the second points cost 5 microseconds at once; with points in all rows they are one int8 op.
    rich = choice("rich", [5.0, 4.0, 3.0], [10.0, 15.0, 15.1, 11.0], None)
    poor = choice("poor", [0.2, 0.1, 0.0], [10.0, 15.0, 15.1, 11.0], None)
    free = trade([rich, poor], 50.0, 100.0).layers
    assert (free["rich"].steps, free["poor"].steps) == (3, 2)
    assert trade([rich, poor], 50.0, 22.0).layers == {"rich": Choice("split", 3), "poor": Choice("split", 0)}
    assert trade([rich, poor], 60.0, 22.0).layers == {"rich": Choice("split", 3), "poor": Choice("split", 3)}
    assert trade([rich, poor], 50.0, 20.0).layers == {"rich": Choice("split", 0), "poor": Choice("split", 0)}


def test_bytes_beyond_the_budget_are_spent_only_for_speed():
    slow = choice("slow", [3.0, 2.0], [10.0, 12.0, 8.0], 8.0)
    assert trade([slow], 0.0, 10.0).layers["slow"] == Choice("split", 0)
    found = trade([slow], 0.0, 9.0)  # INT4 is too slow: int8 rows, which then have all their points
    assert (found.layers["slow"], found.bytes, found.time) == (Choice("fused", 2), 0.0, 8.0)
    assert trade([slow], 20.0, 9.0).layers["slow"] == Choice("split", 2)  # the budget pays for the same


def test_a_limit_that_cannot_be_kept_gives_the_fastest():
    slow = choice("slow", [1.0, 1.0], [10.0, 15.0, 15.0], 8.0)
    found = trade([slow], 100.0, 1.0)
    assert found.layers["slow"].form == "fused"
    assert found.time == 8.0


def test_forms_that_cannot_be_written_are_never_taken():
    frozen = choice("frozen", [3.0, 2.0, 1.0], [1.0, np.inf, np.inf, 9.0], 9.0)
    for budget, limit in product((0.0, 10.0, 20.0, 30.0), (0.5, 1.0, 5.0, 100.0)):
        found = trade([frozen], budget, limit)
        assert np.isfinite(found.time)
        assert found.bytes <= budget
        assert found.layers["frozen"].steps in (0, 3)
    assert trade([frozen], 0.0, 100.0).layers["frozen"] == Choice("split", 0)


def test_where_only_int8_rows_can_be_written_they_are():
    given = choice("given", [], [np.inf], 8.0)  # points given beforehand, in an order that cannot be split
    other = choice("other", [1.0], [1.0, 2.0], 2.0)
    for limit in (1.0, 9.0, 100.0):
        found = trade([given, other], 0.0, limit)
        assert found.layers["given"] == Choice("fused", 0)
        assert np.isfinite(found.time)
    assert trade([given, other], 0.0, 100.0).layers["other"] == Choice("split", 0)


def test_rows_without_gain_get_nothing():
    found = trade([choice("dead", [0.0, 0.0], [1.0, 2.0, 2.0], None)], 100.0, 100.0)
    assert found.layers["dead"] == Choice("split", 0)
    assert trade([], 10.0, 10.0).layers == {}


layers = st.lists(
    st.tuples(
        st.lists(st.floats(0.0, 10.0), min_size=0, max_size=4),  # gains
        st.floats(1.0, 20.0),  # time of one INT4 op
        st.floats(0.0, 5.0),  # of a concatenation
        st.floats(1.0, 20.0),  # of the int8 op
        st.floats(1.0, 30.0),  # bytes of a point
    ),
    min_size=1,
    max_size=3,
)


@given(layers, st.floats(0.0, 200.0), st.floats(0.0, 1.2))
@settings(max_examples=80, deadline=None)
def test_budgets_hold_and_nothing_is_better_in_everything(drawn: list, max_bytes: float, share: float):
    choices = [
        choice(
            str(i),
            sorted(gains, reverse=True),
            [base + (join if n else 0.0) for n in range(len(gains))] + [fused if gains else base],
            fused if gains else None,
            cost=cost,
        )
        for i, (gains, base, join, fused, cost) in enumerate(drawn)
    ]
    fastest = sum(min(float(f.time[np.isfinite(f.time)].min()) for f in c.forms) for c in choices)
    slowest = sum(max(float(f.time[np.isfinite(f.time)].max()) for f in c.forms) for c in choices)
    limit = fastest + share * (slowest - fastest) + 1e-6
    found = trade(choices, max_bytes, limit)
    assert found.bytes <= max_bytes
    assert found.time <= limit
    assert found.time == pytest.approx(time_of(choices, found.layers))
    if any(c.form == "fused" for c in found.layers.values()):
        return  # bytes beyond the budget: only where it could not be kept, see above
    # No other choice within the budget's forms gains as much with no more bytes and time, and less of one of them.
    ours = (-gained(choices, found.layers), found.bytes, found.time)
    for combination in product(*[range(len(c.gains) + 1) for c in choices]):
        other = {c.name: Choice("split", n) for c, n in zip(choices, combination, strict=True)}
        spent = sum(c.cost * other[c.name].steps for c in choices)
        theirs = (-gained(choices, other), spent, time_of(choices, other))
        # What a price cannot tell apart in float arithmetic is as good.
        worse = [a > b + 1e-6 * (1 + abs(b)) for a, b in zip(ours, theirs, strict=True)]
        not_better = [a >= b - 1e-9 for a, b in zip(ours, theirs, strict=True)]
        assert not (all(worse) and all(not_better)), (found.layers, other)


def test_what_a_price_takes_whole_or_not_at_all_is_taken_in_part():
    """Rows that gain alike: at one price of a byte none is worth it, at the next all are, and all are too many."""
    even = choice("even", [1.0] * 100, [0.0] * 101, None, cost=100.0)
    found = trade([even], 6000.0, 100.0)
    assert (found.layers["even"], found.bytes) == (Choice("split", 60), 6000.0)
    slow = choice("slow", [1.0] * 100, [float(n) for n in range(101)], None, cost=100.0)
    assert trade([slow], 6000.0, 25.0).layers["slow"] == Choice("split", 25)  # no further than there is time
    few = choice("few", [1.0] * 100, [0.0] * 101, None, cost=100.0)
    assert trade([few], 900.0, 100.0).bytes == 0.0  # not worth the operators that may come with them
    assert trade([choice("harm", [-1.0] * 100, [0.0] * 101, None, cost=100.0)], 6000.0, 1.0).bytes == 0.0


def test_a_form_may_serve_rows_in_an_order_of_its_own():
    gains, own = np.array([3.0, 2.0, 1.0]), Ranking(np.arange(3), np.array([1.0, 2.0, 3.0]))
    moved = Option("split", np.array([0.0, 9.0, 9.0, 0.0]))  # putting rows back takes time
    kept = Option("split", np.zeros(4), ranking=own)
    choices = [LayerChoice("logits", np.array([2, 1, 0]), gains, 1000.0, (moved, kept))]
    assert trade(choices, 2000.0, 10.0).layers["logits"] == Choice("split", 2)
    found = trade(choices, 2000.0, 1.0).layers["logits"]
    assert (found.steps, found.ranking) == (2, own)


def test_layers_with_nothing_to_gain_become_int8_where_it_saves_most_time_a_byte() -> None:
    """Rows of one point each: int8 brings nothing but speed, and is not for free."""

    def layer(name: str, size: float, saved: float) -> LayerChoice:
        forms = (Option("split", np.array([10.0])), Option("fused", np.array([10.0 - saved]), beyond=True, bytes=size))
        return LayerChoice(name, np.zeros(0, np.int64), np.zeros(0), 20.0, forms)

    layers = [layer("small", 1e3, 3.0), layer("large", 1e5, 3.0), layer("middle", 1e4, 3.0)]
    chosen = {limit: trade(layers, 1e6, limit).layers for limit in (30.0, 27.5, 24.5, 21.5)}
    forms = {limit: {name: choice.form for name, choice in found.items()} for limit, found in chosen.items()}
    assert forms[30.0] == {"small": "split", "middle": "split", "large": "split"}
    assert forms[27.5] == {"small": "fused", "middle": "split", "large": "split"}
    assert forms[24.5] == {"small": "fused", "middle": "fused", "large": "split"}
    assert forms[21.5] == {"small": "fused", "middle": "fused", "large": "fused"}
