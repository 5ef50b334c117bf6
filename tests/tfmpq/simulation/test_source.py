"""Trained points turned around, and what int8 range holds a trained activation."""

from __future__ import annotations

import numpy as np
import pytest

from converters.points import MultipointWeight, Point
from tfmpq.simulation.settings import SimulationSettings
from tfmpq.simulation.source import InputCodes, SimulatedLayer


def test_trained_points_are_exported_as_they_are_or_turned_around():
    codes = np.array([[7, -3, 0], [1, 2, -7]], np.int8)
    trained = MultipointWeight((Point(codes, np.array([0.1, 0.3], np.float32)),), np.ones(2, np.int64), 4)
    layer = SimulatedLayer(
        SimulationSettings(bits=4, points=1), np.ones((2, 3)), np.array([1, -1], np.float32), trained
    )
    np.testing.assert_array_equal(layer.export().points[0].codes, codes * np.array([[1], [-1]], np.int8))
    np.testing.assert_array_equal(layer.export(np.ones(2)).points[0].codes, codes)
    np.testing.assert_array_equal(layer.export().points[0].scale, trained.points[0].scale)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_what_is_never_negative_keeps_step_and_clip(bits: int):
    high = 2**bits - 1
    low_end, high_end = InputCodes(0.25, 0, high).int8_range()
    assert (high_end - low_end) / 255 == 0.25
    assert high_end == 0.25 * high
    assert low_end <= 0


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_signed_values_keep_their_clip(bits: int):
    high = 2 ** (bits - 1) - 1
    low_end, high_end = InputCodes(0.25, -high, high).int8_range()
    assert high_end == pytest.approx(0.25 * high)
    step = (high_end - low_end) / 255
    assert low_end == pytest.approx(-high_end - step)  # zero point 0
    assert step == pytest.approx(0.25 * high / 127)
