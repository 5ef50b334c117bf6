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


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_tensors_hold_the_trained_codes(bits: int, signed: bool):
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    codes = InputCodes(0.25, -high if signed else 0, high)
    values = np.linspace(-80 if signed else 0, 80, 4001)
    held = values
    for low_end, high_end in codes.int8_ranges():
        scale = (high_end - low_end) / 255
        zero = round(-128 - low_end / scale)
        assert scale == pytest.approx(0.25)
        held = (np.clip(np.rint(held / scale) + zero, -128, 127) - zero) * scale
    lowest = -128 if signed and bits == 8 else codes.low  # int8's own
    np.testing.assert_allclose(held, np.clip(np.rint(values / 0.25), lowest, high) * 0.25, atol=1e-6)
    assert codes.is_few == (bits < 8)
    assert len(codes.int8_ranges()) == 1 + (signed and bits < 8)
