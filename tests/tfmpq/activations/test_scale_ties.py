"""Which tensors share a scale is as TensorFlow's quantizer has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.tflite.graph import Model, Tensor, TensorType
from converters.tflite.reader import load
from tfmpq.activations.scale_ties import Ties


@pytest.fixture(scope="module")
def net() -> FloatModel:
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 4), name="x")
    first, second = (layers.Conv2D(4, 3, padding="same", name=f"conv_{i}")(x) for i in (1, 2))
    pooled = layers.MaxPooling2D(2, name="pool")(layers.Concatenate(name="join")([first, second]))
    flat = layers.Reshape((16, 8), name="flat")(layers.Conv2D(8, 1, name="middle")(pooled))
    y: Any = ops.transpose(flat, (0, 2, 1))
    total: Any = ops.sum(x)
    z: Any = ops.where(total > 0, ops.tanh(y), ops.maximum(layers.Dense(16, name="dense")(y), 0.1))
    z = layers.Dense(5, name="head")(z + y)
    return load_model(keras.Model(x, layers.Softmax(name="soft")(z), name="net"))


def computed(model: Model) -> Iterator[Tensor]:
    yield from (t for op in model.graph.ops for t in op.outputs if t.type == TensorType.FLOAT32)


def test_the_owner_of_a_scale_is_the_quantizers(net: FloatModel):
    rows = np.random.default_rng(0).normal(size=(4, 1, 8, 8, 4)).astype(np.float32)
    model = load(net.flatbuffer)
    ties = Ties.of(model.graph)
    names = [t.name for t in computed(model)]
    assert len(set(names)) == len(names)
    # Every tensor gets a range of its own; the scale says whose it has.
    tags = {name: (0.0, 2.55 * (1 + i / 100)) for i, name in enumerate(names)}
    quantized = load(int8_twin(net, lambda: iter([{"x": r} for r in rows]), ranges=tags)).graph
    scales = {t.name: t.scale for t in quantized.tensors() if t.name in tags and t.quantization is not None}
    wrong = {}
    for tensor in computed(model):
        if tensor.name not in scales:
            continue
        owner = ties.owner(tensor)
        expected = None if owner is None else tags[owner.name][1] / 255
        by_tag = [name for name, (_, high) in tags.items() if abs(scales[tensor.name] - high / 255) < 1e-6]
        if owner is not None and by_tag != [owner.name]:
            wrong[tensor.name] = (by_tag, owner.name, expected)
        if owner is None and tensor.name in by_tag:
            wrong[tensor.name] = (by_tag, None, None)
    assert wrong == {}


def test_who_reads_what_has_the_scale(net: FloatModel):
    model = load(net.flatbuffer)
    ties = Ties.of(model.graph)
    by_name = {t.name: t for t in computed(model)}
    join = next(op for op in model.graph.ops if op.name == "CONCATENATION")
    pool = next(op for op in model.graph.ops if op.name == "MAX_POOL_2D")
    for tensor in join.inputs:
        assert tensor is not None
        assert ties.owner(tensor) is join.outputs[0]
    assert ties.only_for(join.outputs[0], [pool])
    assert not ties.only_for(join.outputs[0], [])
    middle = next(t for name, t in by_name.items() if "middle" in name)
    dense = [op for op in model.graph.ops if op.name == "FULLY_CONNECTED"]
    assert not ties.only_for(middle, dense)  # the sum reads it as well
