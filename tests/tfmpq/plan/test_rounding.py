"""From measured layers to rounded ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.pipeline import QUIET, residual
from tfmpq.algorithms import Evidence
from tfmpq.plan import rounding
from tfmpq.plan.rounding import round_layer, round_layers
from tfmpq.recipe.rules import LayerSettings


def test_candidates_and_rows():
    converted = residual()
    wanted = {"conv": LayerSettings(4, 3, "radix", ""), "dw": LayerSettings(8, 1, "greedy", "")}
    conv, dw = round_layers([converted.measured(name, s) for name, s in wanted.items()], {}, QUIET)
    assert [len(layer.candidates) for layer in (conv, dw)] == [3, 1]
    assert [c.codes.shape for c in conv.candidates] == [(1, 16, 144), (2, 16, 144), (3, 16, 144)]
    counts = 1 + np.arange(16) % 3
    weight, known = conv.weight(counts), conv.statistics
    np.testing.assert_array_equal(weight.counts, counts)
    # With the corrected bias the mean output over the data, of inputs as int8 holds them, is that of the float layer.
    use, biases = conv.layer.uses[0], conv.biases(weight)
    ours = weight.reconstruct() @ known.quantized_means[0, 0] + biases[0]
    theirs = conv.layer.weight.astype(np.float64) @ known.means[0, 0] + use.bias
    np.testing.assert_allclose(ours, theirs, atol=1e-5)  # biases are float32
    assert np.abs(biases[0] - use.bias).max() > 1e-4
    # The paper's algorithm leaves biases alone.
    plain = dw.biases(dw.weight(np.ones(24, int)))
    np.testing.assert_array_equal(plain[0], dw.layer.uses[0].bias)


def test_what_an_algorithm_minimizes(monkeypatch: pytest.MonkeyPatch):
    """The covariance where the bias takes the mean, the raw moment where it does not; rows gathered by input group."""
    converted = residual()
    seen = {}

    def spy(name: str):
        algorithm = rounding.ALGORITHMS[name]

        def quantize(problem, points):
            seen[name] = problem
            return algorithm.quantize(problem, points)

        return replace(algorithm, quantize=quantize)

    monkeypatch.setattr(rounding, "ALGORITHMS", {name: spy(name) for name in ("radix", "nearest")})
    known = converted.statistics["dw"]
    for name in ("radix", "nearest"):
        round_layer(converted.measured("dw", LayerSettings(4, 1, name, "")), Evidence())
        assert seen[name].weight.shape == (24, 1, 9)
        assert seen[name].scale_floor.shape == (24, 1)
    np.testing.assert_array_equal(seen["radix"].moment, known.covariance)
    raw = known.covariance + known.means[0][:, :, None] * known.means[0][:, None, :]
    np.testing.assert_allclose(seen["nearest"].moment, raw, rtol=1e-9)
