"""Files whose inputs may have several sizes."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import ModelError
from converters.frontend.load import load_model
from converters.frontend.resize_file import resized
from converters.runtime import interpreter as runtime
from converters.tflite.reader import load

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

L = keras.layers
RNG = np.random.default_rng(0)


def convert(model: Any) -> bytes:
    with contextlib.redirect_stdout(io.StringIO()):  # Keras announces what it exports
        return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def images() -> Any:
    keras.utils.set_random_seed(0)
    x = L.Input((None, None, 3), name="image")
    y = L.Conv2D(64, 1, activation="relu", name="mix")(L.Conv2D(16, 3, 2, activation="relu", name="stem")(x))
    return keras.Model(x, L.Dense(10, name="head")(L.GlobalAveragePooling2D()(L.UpSampling2D()(y))))


def tokens() -> Any:
    keras.utils.set_random_seed(0)
    x, m = L.Input((None,), dtype="int32", name="ids"), L.Input((None, 1), name="mask")
    y = L.Embedding(50, 32)(x) * m
    y = L.LayerNormalization()(y + L.MultiHeadAttention(2, 16, name="attention")(y, y))
    return keras.Model([x, m], L.Dense(5, name="head")(L.Dense(64, activation="relu", name="inner")(y)))


def token_samples(length: int) -> dict[str, np.ndarray]:
    mask = (RNG.random((16, length, 1)) < 0.8).astype(np.float32)
    return {"ids": RNG.integers(0, 50, (16, length)).astype(np.int32), "mask": mask}


CASES = [
    (images, {"image": (1, 14, 18, 3)}, {"image": RNG.normal(size=(16, 14, 18, 3)).astype(np.float32)}),
    (tokens, {"ids": (12,), "mask": (12, 1)}, token_samples(12)),
]


@pytest.mark.parametrize(("build", "sizes", "data"), CASES, ids=["images", "tokens"])
def test_one_size_for_all(build: Any, sizes: dict[str, tuple[int, ...]], data: dict[str, np.ndarray]):
    model = build()
    file = convert(model)
    with pytest.raises(ModelError, match="Say which sizes the file is for"):
        load_model(file)
    loaded = load_model(file, sizes=sizes)
    graph = load(loaded.flatbuffer).graph
    assert "SHAPE" in [op.name for op in load(file).graph.ops]
    assert "SHAPE" not in [op.name for op in graph.ops]
    assert [s.shape for s in loaded.inputs] == [(1, *data[s.name].shape[1:]) for s in loaded.inputs]
    assert all(t.shape_signature is None for t in graph.tensors() if t.data is None)
    feeds = {name: array[:1] for name, array in data.items()}
    found = runtime.run(runtime.make_interpreter(loaded.flatbuffer, kernels="builtin"), feeds)[0]
    values = [feeds[tensor.name] for tensor in model.inputs]
    expected = model(values if len(values) > 1 else values[0])
    # Float kernels sum in another order: a few float32 roundings of values near 1.
    np.testing.assert_allclose(found, expected, atol=1e-5)


# By day each network and each form once.
@pytest.mark.parametrize(
    ("form", "build", "sizes", "data"),
    [
        pytest.param("file", *CASES[0], id="file-images", marks=pytest.mark.nightly),
        pytest.param("file", *CASES[1], id="file-tokens"),
        pytest.param("Keras", *CASES[0], id="Keras-images"),
        pytest.param("Keras", *CASES[1], id="Keras-tokens", marks=pytest.mark.nightly),
    ],
)
def test_the_first_sample_says_it(form: str, build: Any, sizes: Any, data: dict[str, np.ndarray]):
    model = convert(build()) if form == "file" else build()
    options: dict[str, Any] = {"progress": False, "validate": False, "sensitivity": "energy"}
    result = tfmpq.convert(model, data, **options)
    assert result.tflite_model == tfmpq.convert(model, data, sizes=sizes, **options).tflite_model
    shapes = {tuple(t.shape) for t in load(result.tflite_model).graph.inputs}
    assert shapes == {(1, *array.shape[1:]) for array in data.values()}
    # The twin of the file has other operators than the float file (EXPAND_DIMS is RESHAPE there): no layer is lost.
    assert [s.op for s in result.report.skipped if s.op != "GATHER"] == []
    assert len(result.report.layers) == (3 if build is images else 6)


def test_sizes_the_model_is_not_made_for():
    with pytest.raises(ModelError, match=r"cannot run it at the sizes \{.*: \(1, 2, 2, 3\)\}.*Give sizes that"):
        load_model(convert(images()), sizes=(2, 2, 3))


def test_random_numbers_of_an_open_size_stay_random():
    @tf.function(input_signature=[tf.TensorSpec((None, 4), name="x")])
    def noisy(x: Any) -> Any:
        return x + tf.random.uniform(tf.shape(x))

    content = tf.lite.TFLiteConverter.from_concrete_functions([noisy.get_concrete_function()]).convert()
    model = load(content)
    fixed = load(resized(model, {model.graph.inputs[0]: (3, 4)}, "file"))
    assert "RANDOM_UNIFORM" in [op.name for op in fixed.graph.ops]
    assert "SHAPE" not in [op.name for op in fixed.graph.ops]
