"""Layer type x bits x points x lowering: every file that is written computes what its points say."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import numpy as np
import pytest

from converters.errors import LoweringError
from converters.lowering.form import Storage
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tests.support.pipeline import (
    Converted,
    Feed,
    Rows,
    convert_once,
    on_grid,
    random_vectors,
    rounding_noise,
    run_real,
    validate,
)
from tfmpq.emit.write import Emission
from tfmpq.recipe.rules import LayerSettings

BITS, POINTS = (2, 3, 4, 8), (1, 2, 3)
# Calibrated with twice the amplitude of the test inputs: coarse weights overshoot the float model's ranges, and what
# saturates is not comparable with real arithmetic.
HEADROOM = 2.0


def stem(k: Any, x: Any) -> Any:
    """Gives a layer an input whose channels may be reordered."""
    return k.Conv2D(8, 1, activation="relu", name="stem")(x)


def shared(k: Any, x: Any) -> Any:
    layer = k.Conv2D(12, 3, padding="same", activation="relu", name="layer")
    return k.Add()([layer(stem(k, x)), layer(k.Conv2D(8, 1, name="stem2")(x))])


MAP, SEQUENCE, VECTOR = (6, 5, 6), (9, 6), (24,)
# Every net is: what is here, then a layer kept as stock has it, which reads the channels in whatever order they are.
NETS: dict[str, tuple[tuple[int, ...], Callable[[Any, Any], Any]]] = {
    "conv, SAME, stride 2, RELU": (
        MAP,
        lambda k, x: k.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="layer")(x),
    ),
    "conv, VALID, RELU6": (MAP, lambda k, x: k.ReLU(6.0)(k.Conv2D(12, (3, 2), name="layer")(x) * 4.0)),
    "conv, dilated": (MAP, lambda k, x: k.Conv2D(12, 3, padding="same", dilation_rate=2, name="layer")(x)),
    "conv without bias": (MAP, lambda k, x: k.Conv2D(12, 3, use_bias=False, name="layer")(x)),
    "pointwise": (MAP, lambda k, x: k.Conv2D(12, 1, activation="relu", name="layer")(x)),
    "grouped": (MAP, lambda k, x: k.Conv2D(12, 3, groups=3, activation="relu", name="layer")(x)),
    "depthwise, RELU6": (
        MAP,
        lambda k, x: k.ReLU(6.0)(k.DepthwiseConv2D(3, padding="same", name="layer")(stem(k, x)) * 8.0),
    ),
    "depthwise, stride 2": (MAP, lambda k, x: k.DepthwiseConv2D(3, strides=2, name="layer")(stem(k, x))),
    "depthwise, multiplier 2": (
        MAP,
        lambda k, x: k.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="layer")(stem(k, x)),
    ),
    "separable": (MAP, lambda k, x: k.SeparableConv2D(12, 3, activation="relu", name="layer")(stem(k, x))),
    "transposed": (
        MAP,
        lambda k, x: k.Conv2DTranspose(12, 3, strides=2, padding="same", activation="relu", name="layer")(x),
    ),
    "transposed without bias": (MAP, lambda k, x: k.Conv2DTranspose(12, 2, use_bias=False, name="layer")(x)),
    "1-D": (SEQUENCE, lambda k, x: k.Conv1D(12, 3, activation="relu", name="layer")(x)),
    "dense": (VECTOR, lambda k, x: k.Dense(12, activation="relu", name="layer")(x)),
    "dense of rank 3": (SEQUENCE, lambda k, x: k.Dense(12, name="layer")(x)),
    "shared": (MAP, shared),
}
FROZEN = {"grouped": "grouped convolution", "depthwise, multiplier 2": "depth multiplier above 1"}
INT4 = {"pointwise": "layer", "dense": "layer", "dense of rank 3": "layer", "separable": "layer:conv"}  # run fast so


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process of its own for the first run would take most of the time here; test_validation.py has it.
    monkeypatch.setattr("tfmpq.emit.validation.refusals", lambda *_: {})


@functools.cache
def net(name: str) -> Converted:
    import keras

    shape, body = NETS[name]
    keras.utils.set_random_seed(7)
    x = keras.Input(shape, name="x")
    y = body(keras.layers, x)
    head = keras.layers.Conv2D(4, 1, name="head") if len(y.shape) == 4 else keras.layers.Dense(4, name="head")
    model = random_vectors(keras.Model(x, head(y)))
    return convert_once(model, feeds(shape, 12, HEADROOM))


def feeds(shape: tuple[int, ...], count: int, amplitude: float) -> list[Feed]:
    values = np.random.default_rng(count).uniform(-amplitude, amplitude, (count, 1, *shape)).astype(np.float32)
    return [{"x": v} for v in values]


def under_test(converted: Converted) -> list[str]:
    return [name for name in converted.layers if not name.startswith(("stem", "head"))]


def points(converted: Converted, bits: int, most: int) -> dict[str, Rows]:
    """Points for the layers under test, rows with 1..most points by turns: nothing lies in the order it needs."""
    settings = LayerSettings(bits, 3, "radix", "")
    return {
        name: converted.rows(name, settings, 1 + np.arange(converted.layers[name].channels) % most)
        for name in under_test(converted)
    }


def merges(bits: int, most: int) -> bool:
    """Digits of b bits: two fill 2 b bits, three of 2 bits fill 6; an 8-bit row has no room for a second."""
    return most == 1 or (most == 2 and bits < 8) or (most == 3 and bits == 2)


def check(converted: Converted, rows: dict[str, Rows], emission: Emission) -> None:
    content = emission.content
    tests = on_grid(content, feeds(converted.samples[0]["x"].shape[1:], 3, 1.0))
    report = validate(content, converted.stock, emission.lowered, tests[:2])
    assert report.kernels == ("xnnpack", "builtin", "reference")
    assert report.ops_checked >= len(rows)
    (found,), (expected,) = run_real(content, tests), converted.simulate(rows, tests)
    output = load(content).graph.outputs[0]
    error, signal = (found - expected) / output.scale, expected.std() / output.scale
    assert signal > 10  # else anything would be near
    # Nothing but the rounding of int8 results. 240 and more outputs determine its size to 5 % (the largest found is
    # 1.09 of what is predicted); no error of several is beyond five times it.
    (noise,) = rounding_noise(content)
    assert np.sqrt((error**2).mean()) < 1.25 * noise
    assert np.abs(error).max() < 5 * noise


def half_at_night(cells: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Every other cell runs by day: all networks, bits, points and forms of storage, but not all pairs of them."""
    order = list(NETS)
    return [
        pytest.param(*cell, marks=[pytest.mark.nightly] if (order.index(cell[0]) + number) % 2 else [])
        for number, cell in enumerate(cells)
    ]


@pytest.mark.parametrize(("name", "bits", "most"), half_at_night(product(NETS, BITS, POINTS)))
def test_fused(name: str, bits: int, most: int):
    converted = net(name)
    rows = points(converted, bits, most)
    if not merges(bits, most):
        with pytest.raises(LoweringError, match=rf"layer 'layer\S*': its {most} points of {bits} bits do not merge"):
            converted.emit(rows, "fused")
        return
    emission = converted.emit(rows, "fused")
    assert {entry.lowering for entry in emission.lowered} == {"fused"}
    assert emission.fallbacks == ()
    check(converted, rows, emission)


CELLS: list[tuple[str, int, int, Storage]] = [
    (name, bits, most, storage)
    for name, bits, most in product(NETS, BITS, POINTS)
    for storage in (("auto", "int8") if name in INT4 and bits <= 4 else ("auto",))
]


@pytest.mark.parametrize(("name", "bits", "most", "storage"), half_at_night(CELLS))
def test_parallel(name: str, bits: int, most: int, storage: Storage):
    converted = net(name)
    rows = points(converted, bits, most)
    emission = converted.emit(rows, "parallel", storage=storage)
    used, fallbacks = "parallel", []
    if most == 1 and bits > 4:  # one int8 op a row, as in `fused`
        used = "fused"
    elif most > 1 and name in FROZEN:  # rows must stay where they are: merged, or a zero code where a row has no point
        used = "fused" if merges(bits, most) else "parallel"
        what = "one int8 op" if used == "fused" else "parallel ops over all rows"
        fallbacks = [("layer", "parallel", what, f"the channel order must stay: {FROZEN[name]}")]
    assert {entry.lowering for entry in emission.lowered} == {used}
    assert [(f.layer, f.asked, f.used, f.reason) for f in emission.fallbacks] == fallbacks
    types = {tensor.name: tensor.type for tensor in load(emission.content).graph.tensors()}
    for entry in emission.lowered:
        int4 = storage == "auto" and bits <= 4 and entry.layer == INT4.get(name)
        assert {types[weight.tensor] for weight in entry.weights} == {TensorType.INT4 if int4 else TensorType.INT8}
    check(converted, rows, emission)


@pytest.mark.parametrize(("name", "bits", "most"), half_at_night(product(NETS, BITS, POINTS)))
def test_split(name: str, bits: int, most: int):
    converted = net(name)
    rows = points(converted, bits, most)
    emission = converted.emit(rows, "split")
    check(converted, rows, emission)
    used = {entry.layer: entry.lowering for entry in emission.lowered}
    graph = load(emission.content).graph
    written = {
        entry.layer: [op for op in graph.ops if op.outputs[0].name in entry.outputs] for entry in emission.lowered
    }
    for layer in rows:
        ops = [op.name for op in written[layer]]
        fallback = next((f for f in emission.fallbacks if f.layer == layer), None)
        if not merges(bits, most):
            assert fallback is not None
            assert fallback.reason == "its points do not merge into int8 rows"
        elif bits == 8:
            assert (used[layer], fallback) == ("fused", None)
        elif layer != INT4.get(name):
            assert used[layer] == "fused"
            assert fallback is not None
            assert fallback.reason.startswith("no 1x1 convolution")
        else:
            assert (used[layer], fallback) == ("split", None)
            assert ops == ["FULLY_CONNECTED"] if most == 1 else ["FULLY_CONNECTED", "FULLY_CONNECTED", "CONCATENATION"]
            types = [op.input(1).type for op in written[layer] if op.name == "FULLY_CONNECTED"]
            assert types == ([TensorType.INT4] if most == 1 else [TensorType.INT8, TensorType.INT4])
