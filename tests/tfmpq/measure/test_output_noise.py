"""Noise of rounded rows against Keras-free direct computation."""

from __future__ import annotations

import numpy as np
import pytest

from converters.tflite.probe import probe
from tests.support.pipeline import image_feeds, residual, run_real
from tfmpq.measure.output_noise import RowsInUse, output_noise
from tfmpq.recipe.rules import LayerSettings


@pytest.mark.parametrize("corrected", [True, False])
def test_signal_and_noise_are_those_of_the_outputs(corrected: bool):
    converted = residual()
    layer = converted.measured("project", LayerSettings(3, 2, "radix", "parallel"))
    rng = np.random.default_rng(0)
    changed = layer.layer.weight + rng.normal(0, 0.1, layer.layer.weight.shape)
    means = layer.statistics.means if corrected else None
    feeds = image_feeds(9)[6:]
    found = output_noise(converted.network.model, [RowsInUse(layer.layer, lambda part: changed[part], means)], feeds)
    source = layer.layer.uses[0].float_input
    (x,) = run_real(probe(converted.network.model, [source]), feeds)
    x = x.reshape(-1, layer.layer.columns).astype(np.float64)
    signal = (x @ layer.layer.weight.T).var(axis=0).sum()
    about = layer.statistics.means[0, 0] if corrected else 0.0
    noise = (((x - about) @ (changed - layer.layer.weight).T) ** 2).mean(axis=0).sum()
    assert found["project"] == pytest.approx((signal, noise), rel=1e-4)  # activations and rows are float32


def test_without_samples_there_is_nothing_to_say():
    converted = residual()
    layer = converted.measured("project", LayerSettings(3, 2, "radix", "parallel"))
    rows = [RowsInUse(layer.layer, lambda part: layer.layer.weight[part], None)]
    assert output_noise(converted.network.model, rows, []) == {"project": (0.0, 0.0)}
