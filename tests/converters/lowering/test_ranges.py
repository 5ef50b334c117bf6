"""Ranges of partial outputs, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.ranges import PartialKey, partial_probe
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.probe import probe
from converters.tflite.writer import save
from tests.support.pipeline import QUIET, Converted, image_feeds, residual
from tfmpq.emit.write import _partial_ranges
from tfmpq.recipe.rules import LayerSettings


def quantized(converted: Converted, name: str, counts: np.ndarray) -> QuantizedLayer:
    rows = converted.rows(name, LayerSettings(3, 3, "radix", ""), counts)
    return QuantizedLayer(converted.layers[name], rows.weight, rows.biases)


def partials(converted: Converted, q: QuantizedLayer, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Every point's contribution to the layer's output, (positions, C), by im2col; the bias goes with the first."""
    layer, use = q.layer, q.layer.uses[0]
    (x,) = run(make_interpreter(probe(converted.graph, [use.float_input])), feed)
    taken = layer.kind.patches(x, layer.reading(use))
    result = []
    for p, point in enumerate(q.weight.points):
        real = (point.codes * point.scale[:, None].astype(np.float64)).reshape(layer.groups, -1, taken.shape[-1])
        values = np.einsum("gpd,grd->pgr", taken, real).reshape(taken.shape[1], -1)
        result.append(values + (q.biases[0] if p == 0 else 0))
    return result


@pytest.mark.parametrize("name", ["conv", "dw", "classifier"])
def test_partials_of_each_number_of_points(name: str):
    converted = residual()
    counts = 1 + np.arange(converted.layers[name].channels) % 3
    q = quantized(converted, name, counts)
    before = save(converted.graph)
    content, keys = partial_probe(converted.graph, [q], set())
    assert save(converted.graph) == before
    assert keys == [PartialKey(name, 0, n, p) for n in (2, 3) for p in range(n)]
    feed = image_feeds(1, seed=9)[0]
    expected = partials(converted, q, feed)
    for key, found in zip(keys, run(make_interpreter(content), feed), strict=True):
        values = np.where(counts == key.points, expected[key.point], 0)
        # float32 kernels against float64.
        np.testing.assert_allclose(found.reshape(values.shape), values, atol=1e-4 * np.abs(values).max())
        assert np.abs(values).max() > 0


def test_full_width_partials_hold_all_rows():
    converted = residual()
    counts = 1 + np.arange(16) % 2
    q = quantized(converted, "conv", counts)
    content, keys = partial_probe(converted.graph, [q], {"conv"})
    assert keys == [PartialKey("conv", 0, 2, 0), PartialKey("conv", 0, 2, 1)]
    feed = image_feeds(1, seed=9)[0]
    for found, values in zip(run(make_interpreter(content), feed), partials(converted, q, feed), strict=True):
        np.testing.assert_allclose(found.reshape(values.shape), values, atol=1e-4 * np.abs(values).max())


def test_ranges_are_the_extremes_over_all_samples():
    converted = residual()
    counts = np.where(np.arange(16) < 5, 2, 1)
    q = quantized(converted, "project", counts)
    samples = image_feeds(5, seed=3)
    rows = {"project": converted.rows("project", LayerSettings(3, 3, "radix", ""), counts)}
    plan = converted.planned(rows, "parallel")
    found = _partial_ranges(converted.graph, plan, lambda: iter(samples), 5, QUIET)
    every = [partials(converted, q, feed) for feed in samples]
    assert set(found) == {PartialKey("project", 0, 2, p) for p in range(2)}
    for p in range(2):
        values = np.concatenate([sample[p][:, :5] for sample in every])
        low, high = found[PartialKey("project", 0, 2, p)]
        assert low == pytest.approx(min(values.min(), 0), rel=1e-4)
        assert high == pytest.approx(max(values.max(), 0), rel=1e-4)
    # Of one sample they are narrower: the pass does not stop at the first.
    first = _partial_ranges(converted.graph, plan, lambda: iter(samples[:1]), 1, QUIET)
    assert sum(high - low for low, high in first.values()) < sum(high - low for low, high in found.values())


def test_only_layers_of_several_points_are_measured():
    converted = residual()
    rows = {n: converted.rows(n, LayerSettings(3, 3, "radix", ""), np.ones(16, int)) for n in ("conv", "project")}
    rows["project"] = converted.rows("project", LayerSettings(3, 3, "radix", ""), np.full(16, 2))
    plan = converted.planned(rows, {"conv": "parallel", "project": "fused"})
    assert _partial_ranges(converted.graph, plan, lambda: iter([]), 0, QUIET) == {}
