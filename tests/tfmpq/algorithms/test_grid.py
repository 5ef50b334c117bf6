"""Rows that lie on a low-bit grid are found as they are, and nothing more is bought for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfmpq
from tests.support.rounding_problems import correlated_moment, few
from tfmpq.algorithms import Problem
from tfmpq.algorithms.grid import grid_step
from tfmpq.algorithms.radix import quantize_radix


def on_grid(rng: np.random.Generator, low: int, high: int, columns: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """(codes, weights) of three rows, as float32 arithmetic makes them of a scale and a folded factor."""
    codes = rng.integers(low, high + 1, (1, 3, columns))
    step, factor = rng.uniform(0.01, 0.1, (2, 1, 3, 1)).astype(np.float32)
    return codes, (codes.astype(np.float32) * step * factor).astype(np.float64)


@given(st.integers(0, 1000), st.sampled_from([(-8, 7), (-7, 7), (-5, 4), (-2, 6), (-1, 1), (0, 3)]))
@few
def test_the_step_is_found(seed: int, limits: tuple[int, int]):
    codes, weight = on_grid(np.random.default_rng(seed), *limits)
    step = grid_step(weight, -8, 7)
    divisor = np.gcd.reduce(codes, axis=2)[..., None]  # a row may lie on a coarser grid
    np.testing.assert_allclose(step[..., None] * codes / divisor, weight, rtol=1e-5)


def test_other_rows_lie_on_none():
    rng = np.random.default_rng(0)
    _, weight = on_grid(rng, -7, 7)
    weight[0, 1, 20] *= 1.01
    weight[0, 2] = rng.normal(size=30)
    assert (grid_step(weight, -8, 7) > 0).tolist() == [[True, False, False]]
    assert not grid_step(np.zeros((1, 2, 5)), -8, 7).any()


@pytest.mark.parametrize("bits", [4, 8])
def test_rows_on_a_grid_come_out_as_they_are(bits: int):
    rng = np.random.default_rng(1)
    codes, weight = on_grid(rng, -5, 4)
    moment = correlated_moment(rng, 1, 30)
    for candidate in quantize_radix(Problem(weight, moment, bits, np.zeros((1, 3))), 2):
        real = sum(c * s[:, None].astype(np.float64) for c, s in zip(candidate.codes, candidate.scales, strict=True))
        np.testing.assert_allclose(real, weight[0], rtol=1e-6)
        assert not candidate.error.any()  # so that no further point is bought
    first = quantize_radix(Problem(weight, moment, bits, np.zeros((1, 3))), 1)[0]
    np.testing.assert_array_equal(first.codes[0] * np.gcd.reduce(codes, axis=2)[0, :, None], codes[0])


@pytest.mark.slow
@pytest.mark.parametrize("lowering", ["auto", "compact", "split", "fused", "parallel"])
def test_a_model_on_a_grid_is_never_larger_than_stock(lowering: str):
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model: Any = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(16, 1, activation="relu"),
            layers.Conv2D(17, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            steps = rng.uniform(0.02, 0.05, kernel.shape[-1]).astype(np.float32)
            layer.set_weights([rng.integers(-6, 6, kernel.shape).astype(np.float32) * steps, bias])
    data = np.random.default_rng(1).normal(size=(40, 8, 8, 4)).astype(np.float32)
    recipe = tfmpq.Recipe([tfmpq.Rule("", bits=4)])
    result = tfmpq.convert(model, data, recipe=recipe, lowering=lowering, progress=False)
    assert len(result.tflite_model) <= len(result.stock_model)
    assert all(layer.bits == 4 and layer.sqnr_db > 120 for layer in result.report.layers)
