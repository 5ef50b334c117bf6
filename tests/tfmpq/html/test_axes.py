from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmpq.html.axes import axis

FINITE = st.floats(-1e9, 1e9, allow_subnormal=False)
few = settings(max_examples=100, deadline=None)


@few
@given(st.lists(FINITE, min_size=1, max_size=5))
def test_all_values_are_on_it_and_ticks_tell_places_apart(values: list[float]):
    found = axis(values)
    assert all(0 <= found.share(value) <= 1 for value in values)
    assert all(-1e-6 <= found.share(tick) <= 1 + 1e-6 for tick in found.ticks)
    texts = [found.text(tick) for tick in found.ticks]
    assert len(set(texts)) == len(texts)
    # Written ticks are where they say: a text off by more than a hundredth of the axis would be seen.
    assert all(
        abs(float(text.replace(",", "")) - tick) <= 0.01 * (found.high - found.low)
        for text, tick in zip(texts, found.ticks, strict=True)
    )


@pytest.mark.parametrize(
    ("values", "most", "texts"),
    [
        ([91.0, 99.0], 100.0, ["92", "94", "96", "98"]),
        ([100.0], 100.0, ["94", "95", "96", "97", "98", "99", "100"]),
        ([0.97, 1.05], None, ["0.98", "1.00", "1.02", "1.04"]),
        ([560.0, 1240.0], None, ["600", "800", "1,000", "1,200"]),
    ],
)
def test_ticks_are_round(values: list[float], most: float | None, texts: list[str]):
    found = axis(values, most=most)
    assert [found.text(tick) for tick in found.ticks] == texts
