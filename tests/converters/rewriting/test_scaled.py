"""Scaled networks compute what the original does, for every operator that passes factors on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from converters.frontend.load import load_model
from converters.layers.kinds import weights_of
from converters.rewriting.channel_scales import FIXED, channel_scales
from converters.rewriting.scaled import scaled
from converters.tflite.graph import Model
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.pipeline import run_real

SIDE = 8


def float_file(build: Callable[[Any], Any], shape: tuple[int, ...] = (SIDE, SIDE, 4)) -> Model:
    keras.utils.set_random_seed(1)
    x = layers.Input(shape)
    model = keras.Model(x, build(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.4, w.shape).astype("float32") for w in model.get_weights()])
    return load(load_model(model).flatbuffer)


def _conv(x: Any, channels: int = 6, size: int = 1, **options: Any) -> Any:
    return layers.Conv2D(channels, size, padding="same", **options)(x)


def _residual(x: Any) -> Any:
    h = _conv(x, 6)
    h = h + _conv(layers.LeakyReLU()(_conv(h, 8, 3)), 6)
    return _conv(layers.ReLU()(h - _conv(h, 6)), 3)


def _branches(x: Any) -> Any:
    a, b = _conv(x, 4, activation="relu"), _conv(x, 6)
    joined = layers.Concatenate()([layers.MaxPooling2D(2)(a), layers.AveragePooling2D(2)(b), layers.MaxPooling2D(2)(a)])
    return _conv(layers.UpSampling2D(2)(joined), 3)


def _gated(x: Any) -> Any:
    h = _conv(x, 6, 3, activation="relu")
    gate = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(h))
    return _conv(h * gate, 3)


def _flattened(x: Any) -> Any:
    h = layers.Flatten()(layers.MaxPooling2D(2)(_conv(x, 6, activation="relu")))
    return layers.Dense(3)(layers.PReLU()(layers.Dense(10)(h)))


def _shared(x: Any) -> Any:
    same = layers.Conv2D(4, 1)
    return _conv(same(layers.ReLU()(same(_conv(x, 4)))), 3)


def _moved(x: Any) -> Any:
    h = _conv(x, 8)
    h = layers.Reshape((SIDE, SIDE, 2, 4))(h)  # eight channels become four
    h = layers.Permute((3, 1, 2, 4))(h)
    h = layers.ZeroPadding2D(1)(_conv(layers.Reshape((2 * SIDE, SIDE, 4))(h), 6))
    return _conv(layers.Cropping2D(1)(h)[..., 1:5], 3)


def _padded_shortcut(x: Any) -> Any:
    h = _conv(x, 4, activation="relu")
    return _conv(_conv(h, 6) + keras.ops.pad(h, ((0, 0), (0, 0), (0, 0), (1, 1))), 3)


NETWORKS: dict[str, Callable[[Any], Any]] = {
    "convolutions": lambda x: _conv(layers.LeakyReLU()(_conv(x, 8, 3, activation="relu")), 3),
    "depthwise": lambda x: _conv(layers.DepthwiseConv2D(3, depth_multiplier=2)(_conv(x, 5)), 3),
    "grouped": lambda x: _conv(layers.Conv2D(6, 3, groups=2, activation="relu")(_conv(x, 4)), 3),
    "transposed": lambda x: _conv(layers.Conv2DTranspose(6, 3, 2, activation="relu")(_conv(x, 5)), 3),
    "residual": _residual,
    "branches": _branches,
    "gated": _gated,
    "flattened": _flattened,
    "shared": _shared,
    "moved": _moved,
    "constants": lambda x: _conv(keras.ops.divide(keras.ops.maximum(_conv(x, 5) * 3.0 + 0.5, -0.3), 1.5), 3),
    "channels of zeros": _padded_shortcut,
    "mean over space": lambda x: layers.Dense(3)(
        layers.GlobalMaxPooling2D()(_conv(x, 6)) + layers.GlobalAveragePooling2D()(_conv(x, 6))
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_scaled_network_computes_the_same(name: str) -> None:
    model = float_file(NETWORKS[name])
    scales = channel_scales(model.graph)
    rng = np.random.default_rng(0)
    values = 2.0 ** rng.uniform(-3, 3, scales.count)
    values[FIXED] = 1
    changed = scaled(model, scales, values)

    feeds = [{n: rng.normal(size=t.shape).astype("float32") for n, t in model.signatures[0].inputs} for _ in range(3)]
    before, after = (run_real(save(m), feeds)[0] for m in (model, changed))
    # Rounding of float32 products and sums of a few hundred terms; no factor would be off by less than 2 ** -6.
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-4 * np.abs(before).max())

    # Every inner activation is scaled, so that it really was another network.
    inner = [t for op in model.graph.ops for t in op.outputs if t not in model.graph.outputs]
    free = [t for t in inner if (scales.variables[t] != FIXED).all()]
    assert len(free) >= 1 + (len(inner) > 2), f"{len(free)} of {len(inner)}"
    assert any(
        a.data != b.data for x, y in _ops(model, changed) for a, b in zip(weights_of(x), weights_of(y), strict=True)
    )


def _ops(first: Model, second: Model) -> Any:
    return zip(first.graph.ops, second.graph.ops, strict=True)


def test_inner_values_are_scaled_by_their_factors() -> None:
    model = float_file(NETWORKS["convolutions"])
    scales = channel_scales(model.graph)
    values = np.where(np.arange(scales.count) == FIXED, 1.0, 4.0)  # a power of two: float32 rounds nothing
    changed = scaled(model, scales, values)
    feeds = [{n: np.ones(t.shape, "float32") for n, t in model.signatures[0].inputs}]
    inner = [m.graph.ops[0].outputs[0] for m in (model, changed)]
    before, after = (run_real(_ending(m, t), feeds)[0] for m, t in zip((model, changed), inner, strict=True))
    assert np.array_equal(after, 4 * before)


def _ending(model: Model, tensor: Any) -> bytes:
    from converters.tflite.probe import probe

    return probe(model, [tensor])


def test_shared_weights_stay_one_tensor() -> None:
    model = float_file(NETWORKS["shared"])
    scales = channel_scales(model.graph)
    values = np.linspace(1, 3, scales.count)
    changed = scaled(model, scales, values)
    convolutions = [op for op in changed.graph.ops if op.name == "CONV_2D"][1:]
    assert convolutions[0].input(1) is convolutions[1].input(1)


FROZEN: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda x: layers.Softmax()(_conv(x, 3)),
    "sigmoid": lambda x: keras.ops.multiply(keras.ops.sigmoid(_conv(x, 3)), 2.0),
    "gelu": lambda x: _conv(keras.ops.gelu(_conv(x, 3)), 3)[:, :1],
    "output": lambda x: _conv(x, 3),
    "square": lambda x: keras.ops.square(_conv(x, 3)),
}


@pytest.mark.parametrize("name", FROZEN)
def test_what_other_operators_read_stays(name: str) -> None:
    model = float_file(FROZEN[name])
    first = model.graph.ops[0].outputs[0]
    assert (channel_scales(model.graph).variables[first] == FIXED).all()


def test_named_activations_stay() -> None:
    model = float_file(NETWORKS["convolutions"])
    first = model.graph.ops[0].outputs[0]
    assert (channel_scales(model.graph).variables[first] != FIXED).all()
    assert (channel_scales(model.graph, fixed=frozenset({first.name})).variables[first] == FIXED).all()


def test_weights_that_others_read_too_stay() -> None:
    """A tied embedding: the table is looked up, and is the last layer's weight."""
    table = layers.Embedding(20, 8)

    def build(x: Any) -> Any:
        h = layers.Dense(8, activation="relu")(table(x))
        return keras.ops.matmul(h, keras.ops.transpose(table.embeddings))

    keras.utils.set_random_seed(1)
    x = layers.Input((5,), dtype="int32")
    model = load(load_model(keras.Model(x, build(x))).flatbuffer)
    scales = channel_scales(model.graph)
    last = [op for op in model.graph.ops if weights_of(op)][-1]
    tied = last.input(1) in [t for op in model.graph.ops if op.name == "GATHER" for t in op.inputs]
    if tied:  # TensorFlow may also write the transposed table as a constant of its own
        assert (scales.variables[last.input(0)] == FIXED).all()
    changed = scaled(model, scales, np.where(np.arange(scales.count) == FIXED, 1.0, 1.7))
    feeds = [{n: np.arange(5, dtype="int32")[None] for n, _ in model.signatures[0].inputs}]
    before, after = (run_real(save(m), feeds)[0] for m in (model, changed))
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())  # float32 sums of a few terms


def test_relu6_is_exact_below_its_cap() -> None:
    model = float_file(lambda x: _conv(layers.ReLU(6.0)(_conv(x, 6)), 3))
    scales = channel_scales(model.graph)
    (capped, cap), *_ = scales.caps.items()
    assert cap == 6.0
    feeds = [{n: 0.02 * np.ones(t.shape, "float32") for n, t in model.signatures[0].inputs}]
    high = run_real(_ending(model, capped), feeds)[0].max()
    values = np.full(scales.count, 5.9 / high)
    values[FIXED] = 1
    before, after = (run_real(save(m), feeds)[0] for m in (model, scaled(model, scales, values)))
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())  # float32 rounding
