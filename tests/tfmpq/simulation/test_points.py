"""Points of Keras weights: their layout, their signs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.points import code_range
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.points import channel_rows, from_rows, simulate, simulated_points


def test_rows_are_those_of_the_file():
    depthwise = np.arange(2 * 2 * 3 * 2).reshape(2, 2, 3, 2)
    assert channel_rows(depthwise, (2, 3)).tolist()[:2] == [[0, 6, 12, 18], [1, 7, 13, 19]]  # input 0, both multiples
    dense = np.arange(6).reshape(3, 2)
    assert channel_rows(dense, (-1,)).tolist() == [[0, 2, 4], [1, 3, 5]]
    transposed = np.arange(8).reshape(1, 2, 2, 2)
    assert channel_rows(transposed, (2,)).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


@given(
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple),
    data=st.data(),
)
def test_rows_and_back(shape: tuple[int, ...], data: st.DataObject):
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=len(shape) - 1, unique=True))
    weight = np.arange(np.prod(shape)).reshape(shape)
    back = from_rows(channel_rows(weight, tuple(axes)), shape, tuple(axes))
    np.testing.assert_array_equal(back, weight)


@pytest.mark.parametrize("algorithm", ["nearest_radix", "greedy"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("points", [1, 2])
def test_signs_are_those_of_the_file(bits: int, points: int, algorithm: str):
    """The codes are chosen for sign * row, and what Keras computes with has the row's own sign again."""
    rows = np.random.default_rng(0).standard_t(4, (40, 30)).astype(np.float32)
    sign = np.where(np.arange(40) % 2, -1.0, 1.0)
    settings = SimulationSettings(bits, 2, algorithm, points=points)
    found = simulated_points(rows, settings, sign).weight()
    turned = simulated_points(rows * sign[:, None].astype(np.float32), settings).weight()
    for ours, theirs in zip(found.points, turned.points, strict=True):
        np.testing.assert_array_equal(ours.codes, theirs.codes)
        np.testing.assert_array_equal(ours.scale, theirs.scale)
    simulated = simulate(rows.T, (-1,), settings, sign).T
    np.testing.assert_array_equal(simulated, (found.reconstruct() * sign[:, None]).astype(np.float32))
    # Rounding and not more: within half a step of the last point, or clipped; both far below the row's own size.
    assert ((simulated - rows) ** 2).sum() < {2: 0.5, 3: 0.15, 4: 0.05, 8: 0.001}[bits] * (rows**2).sum()
    if algorithm == "nearest_radix" and bits < 8:
        assert min(p.codes.min() for p in found.points) == code_range(bits)[0]  # which a change of sign cannot give


def test_rows_of_zeros():
    rows = np.zeros((3, 8), np.float32)
    rows[1] = np.linspace(-1, 1, 8)
    for algorithm in ("nearest_radix", "greedy"):
        weight = simulated_points(rows, SimulationSettings(algorithm=algorithm)).weight()
        assert not weight.reconstruct()[[0, 2]].any()
        assert weight.counts[[0, 2]].tolist() == [1, 1]
