from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.frontend.stock_dynamic import stock_dynamic_file
from converters.native_logs import quiet
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, Tensor, TensorType
from converters.tflite.reader import load


def _nets() -> dict[str, Any]:
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    x = keras.Input((8, 8, 16), batch_size=1, name="x")
    y = layers.Conv2D(16, 3, activation="relu")(x)
    y = layers.DepthwiseConv2D(3, depth_multiplier=8)(y)
    y = layers.GlobalAveragePooling2D()(y)
    convolutions = keras.Model(x, layers.Dense(10)(layers.Dense(32, activation="relu")(y)))
    ids = keras.Input((12,), batch_size=1, dtype="int32", name="x")
    z = layers.Embedding(100, 24)(ids)
    z = layers.MultiHeadAttention(2, 16)(z, z)
    encoder = keras.Model(ids, layers.Dense(48)(z))
    return {"convolutions": convolutions, "encoder": encoder}


@pytest.fixture(scope="module", params=["convolutions", "encoder"])
def files(request: pytest.FixtureRequest) -> tuple[Model, Model, bytes, bytes]:
    """Our file and that of TensorFlow's converter: parsed, and their bytes."""
    import tensorflow as tf

    net = _nets()[request.param]
    with quiet():
        plain = tf.lite.TFLiteConverter.from_keras_model(net)
        dynamic = tf.lite.TFLiteConverter.from_keras_model(net)
        dynamic.optimizations = [tf.lite.Optimize.DEFAULT]
        ours, theirs = stock_dynamic_file(load(plain.convert())), dynamic.convert()
    return ours.model, load(theirs), ours.content, theirs


def _integers(model: Model) -> dict[tuple[int, ...], list[Tensor]]:
    found: dict[tuple[int, ...], list[Tensor]] = {}
    for tensor in model.graph.tensors():
        if tensor.data is not None and tensor.type == TensorType.INT8:
            found.setdefault(tensor.shape, []).append(tensor)
    return found


def test_the_same_constants_are_int8_with_the_same_codes(files: tuple[Model, Model, bytes, bytes]) -> None:
    ours, theirs = _integers(files[0]), _integers(files[1])
    assert {shape: len(held) for shape, held in ours.items()} == {shape: len(held) for shape, held in theirs.items()}
    for shape, held in ours.items():
        for tensor in held:
            others = [t for t in theirs[shape] if t.quantization is not None and tensor.quantization is not None]
            # A quotient next to a tie may be rounded to either side: one code in a thousand, by one.
            off = [np.abs(tensor.array().astype(int) - other.array()) for other in others]
            assert any((o > 0).mean() < 1e-3 and o.max(initial=0) <= 1 for o in off), tensor.name


def test_the_file_is_as_large_and_gives_the_same(files: tuple[Model, Model, bytes, bytes]) -> None:
    _, _, ours, theirs = files
    assert abs(len(ours) / len(theirs) - 1) < 0.05  # names, descriptions and version numbers
    (spec,) = make_interpreter(ours).get_input_details()
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, spec["shape"]) if spec["dtype"] == np.int32 else rng.normal(size=spec["shape"])
    values = [run(make_interpreter(content), {"x": x.astype(spec["dtype"])})[0] for content in (ours, theirs)]
    # The same integers in the same kernels; codes that differ are worth a thousandth of the output.
    np.testing.assert_allclose(values[0], values[1], atol=2e-3 * np.abs(values[1]).max())
