"""Evidence that algorithms ask for: what it is, and that nobody pays for what nobody asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.reference.gradients import channel_gradients
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.probe import probe
from tests.support.pipeline import image_feeds, residual
from tfmpq.algorithms import ALGORITHMS, Algorithm, Candidate, Evidence, Need, Problem
from tfmpq.measure import evidence
from tfmpq.measure.evidence import Gatherer
from tfmpq.measure.joint import layer_samples, quantized_inputs
from tfmpq.measure.sensitivity import RoundedWeight, with_weight
from tfmpq.plan.rounding import round_layer
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Measured, Rounded

FEEDS = image_feeds(6)
SETTINGS = LayerSettings(4, 1, "asking", "fused")


def samples():
    return iter(FEEDS)


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Registers an algorithm with given needs; it rounds as `nearest` does and keeps the problems it saw."""
    seen: list[Problem] = []

    def quantize(problem: Problem, most: int) -> list[Candidate]:
        seen.append(problem)
        return ALGORITHMS["nearest"].quantize(problem, most)

    def register(*needs: Need) -> list[Problem]:
        algorithm = Algorithm(quantize, corrects_bias=False, needs=frozenset(needs))
        monkeypatch.setitem(ALGORITHMS, "asking", algorithm)
        return seen

    return register


def gatherer(*names: str) -> Gatherer:
    converted = residual()
    layers = [converted.measured(name, SETTINGS) for name in names]
    return Gatherer(layers, converted.network, samples, len(FEEDS), seed=0)


def first_round(layers: Any) -> list[Rounded]:
    return [round_layer(layer, Evidence()) for layer in layers]


def test_nothing_is_gathered_unless_asked_for(asking: Any, monkeypatch: pytest.MonkeyPatch):
    asking()
    for name in ("channel_gradients", "quantized_inputs", "layer_samples"):
        monkeypatch.setattr(evidence, name, lambda *_, **__: pytest.fail("nobody asked"))
    assert gatherer("conv").for_algorithms(lambda _: pytest.fail("nobody asked")) == {}


def test_each_gets_what_it_asked_for_and_no_more(asking: Any):
    asking(Need.OUTPUT_GRADIENTS)
    found = gatherer("conv", "project").for_algorithms(first_round)
    assert {name: e.gradients is not None and e.gradients.shape for name, e in found.items()} == {
        "conv": (16,),
        "project": (16,),
    }
    assert all(e.output_moment is None and e.quantized is None and e.samples is None for e in found.values())


def test_the_diagonal_of_the_output_moment_is_the_squared_gradient(asking: Any):
    asking(Need.OUTPUT_GRADIENTS)
    squares = gatherer("conv").for_algorithms(first_round)["conv"].gradients
    asking(Need.OUTPUT_MOMENT, Need.OUTPUT_GRADIENTS)
    found = gatherer("conv").for_algorithms(first_round)["conv"]
    assert found.output_moment is not None
    assert found.gradients is not None
    assert squares is not None
    np.testing.assert_allclose(found.gradients, squares, rtol=1e-4)  # float32 sums
    np.testing.assert_array_equal(np.diag(found.output_moment), found.gradients)
    np.testing.assert_allclose(found.output_moment, found.output_moment.T, rtol=1e-4, atol=1e-9)
    assert np.linalg.eigvalsh(found.output_moment).min() > -1e-6 * found.gradients.max()
    assert np.abs(found.output_moment - np.diag(found.gradients)).max() > 0.01 * found.gradients.max()


@pytest.mark.parametrize("need", [Need.OUTPUT_GRADIENTS, Need.OUTPUT_MOMENT])
def test_gradients_are_measured_once_for_all(need: Need, asking: Any, monkeypatch: pytest.MonkeyPatch):
    asking(need, Need.OUTPUT_GRADIENTS)
    calls = []
    monkeypatch.setattr(
        evidence, "channel_gradients", lambda *a, **k: calls.append(k["moments"]) or channel_gradients(*a, **k)
    )
    known = gatherer("conv")
    values = known.for_algorithms(first_round)["conv"].gradients
    assert known.gradients.values is not None  # what the weighing of layers asks for
    assert values is known.gradients.values["conv"]
    assert calls == [{"conv"} if need is Need.OUTPUT_MOMENT else set()]


def inner(converted: Any, model: Any, name: str) -> np.ndarray:
    """Patches of a 1x1 layer's input over all samples, float64 (P, d)."""
    layer = converted.layers[name]
    interpreter = make_interpreter(probe(model, [layer.uses[0].float_input]))
    return np.concatenate([run(interpreter, f)[0].reshape(-1, layer.columns) for f in FEEDS]).astype(np.float64)


def test_inputs_in_the_quantized_network():
    """Moments against those of the two networks run by themselves; the layers before are rounded, the data the same."""
    converted = residual()
    measured: list[Measured] = [
        converted.measured(n, replace(SETTINGS, algorithm="nearest")) for n in ("stem", "expand")
    ]
    rounded = {}
    for layer in first_round(measured):
        weight = layer.weight(np.ones(layer.layer.channels, int))
        rounded[layer.name] = RoundedWeight(weight.reconstruct(), layer.biases(weight))
    layers = [layer.layer for layer in measured]
    found = quantized_inputs(converted.graph, layers, rounded, samples, len(FEEDS), seed=0)["expand"]
    coarse = with_weight(converted.graph, converted.layers["stem"], rounded["stem"])
    x, y = inner(converted, converted.graph, "expand"), inner(converted, coarse, "expand")
    np.testing.assert_allclose(found.mean[0], y.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.moment[0], np.cov(y.T, bias=True), rtol=1e-4, atol=1e-5)
    cross = (x - x.mean(0)).T @ (y - y.mean(0)) / len(x)
    np.testing.assert_allclose(found.cross[0], cross, rtol=1e-4, atol=1e-5)
    assert np.abs(found.moment[0] - np.cov(x.T, bias=True)).max() > 1e-3  # 4-bit points upstream do change them


def test_samples_are_what_the_layer_computes():
    converted = residual()
    layer = converted.layers["project"]  # linear: no activation is fused
    found = layer_samples(converted.graph, [layer], samples, len(FEEDS), seed=0)["project"]
    assert found.inputs.shape[:2] == (1, len(found.outputs))
    expected = found.inputs[0] @ layer.weight.T + layer.uses[0].bias
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-3, atol=1e-4)
    again = layer_samples(converted.graph, [layer], samples, len(FEEDS), seed=0)["project"]
    np.testing.assert_array_equal(found.inputs, again.inputs)


def test_an_algorithm_finds_its_evidence_in_the_problem(asking: Any):
    """Through `tfmpq.convert`, all kinds at once."""
    seen = asking(*Need)
    converted = residual()
    data = np.concatenate([feed["image"] for feed in converted.samples])
    tfmpq.convert(converted.model.flatbuffer, data, algorithm="asking", sensitivity="energy", progress=False)
    whole = [p.evidence for p in seen]
    assert len(whole) == len(converted.layers)
    for known in whole:
        assert known.gradients is not None
        assert known.output_moment is not None
        assert known.quantized is not None
        assert known.samples is not None
        assert known.output_moment.shape == (len(known.gradients),) * 2
        assert known.quantized.moment.shape[-1] == known.samples.inputs.shape[-1]
