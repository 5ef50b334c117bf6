"""Layer kind x points x bits x form with float activations: every file computes what its points say, near the model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.lowering.expand import expand
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import TensorType
from converters.tflite.reader import load

VECTOR, SEQUENCE, MAP, IDS = (48,), (5, 48), (6, 5, 48), (7,)


def _shared(k: Any, x: Any) -> Any:
    layer = k.Dense(32, activation="relu", name="layer")
    return layer(x) + layer(x * x)


def _residual(k: Any, x: Any) -> Any:
    """Two writers of one stream, whose rows have one order, and an output that is to have the model's own."""
    x = k.Dense(48, name="stem")(x)
    for name in ("layer", "layer2", "layer3", "layer4"):
        x = k.LayerNormalization()(x + k.Dense(48, activation="gelu", name=name)(x))
    return k.GlobalAveragePooling1D()(x)


NETS: dict[str, tuple[tuple[int, ...], Callable[[Any, Any], Any]]] = {
    "dense": (VECTOR, lambda k, x: k.Dense(32, activation="relu", name="layer")(x)),
    "dense of rank 3": (SEQUENCE, lambda k, x: k.Dense(32, name="layer")(x)),
    "dense without bias": (SEQUENCE, lambda k, x: k.Dense(32, use_bias=False, name="layer")(x)),
    "odd inputs": ((4, 49), lambda k, x: k.Dense(32, name="layer")(x)),
    "shared": (SEQUENCE, _shared),
    "residual": (SEQUENCE, _residual),
    "attention": (SEQUENCE, lambda k, x: k.MultiHeadAttention(3, 16, name="layer")(x, x)),
    "einsum": (SEQUENCE, lambda k, x: k.EinsumDense("abc,cde->abde", (None, 4, 8), bias_axes="de", name="layer")(x)),
    "pointwise": (MAP, lambda k, x: k.Conv2D(32, 1, activation="relu", name="layer")(x)),
    "conv": (MAP, lambda k, x: k.Conv2D(16, 3, strides=2, use_bias=False, name="layer")(x)),
    "grouped": (MAP, lambda k, x: k.Conv2D(32, 3, groups=4, activation="relu", name="layer")(x)),
    "transposed": (MAP, lambda k, x: k.Conv2DTranspose(16, 3, strides=2, name="layer")(x)),
    "embedding": (IDS, lambda k, x: k.Embedding(60, 32, name="layer")(x)),
}
# (bits, points a row may have, form)
CELLS = [
    (8, 1, "auto"), (4, 1, "split"), (4, 2, "split"), (4, 2, "fused"), (4, 2, "parallel"), (4, 2, "compact"),
    (2, 3, "parallel"),
]  # fmt: skip
# Output to error, in dB. Rows rounded to 8 bits at run time leave about 40; two points of 4 bits are 240 levels, three
# of 2 bits 54, one of 4 bits 15. Rows or columns in a wrong order leave about 0.
LEAST = {(8, 1): 30.0, (4, 2): 30.0, (2, 3): 17.0, (4, 1): 12.0}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process of its own for the first run would take most of the time here; test_validation.py has it.
    monkeypatch.setattr("tfmpq.emit.validation.refusals", lambda *_: {})
    monkeypatch.setattr("converters.frontend.first_run.refusals", lambda *_: {})


@functools.cache
def _net(name: str) -> tuple[bytes, np.ndarray]:
    """The float file, and 24 samples."""
    import keras
    import tensorflow as tf
    from keras import layers

    shape, body = NETS[name]
    keras.utils.set_random_seed(11)
    x: Any = keras.Input(shape, batch_size=1, name="x", dtype="int32" if shape == IDS else "float32")
    model = keras.Model(x, body(layers, x))
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:  # biases of Keras are zero
        if variable.name == "bias":
            variable.assign(rng.normal(0, 0.1, variable.shape))
    samples = rng.integers(0, 60, (24, *shape)) if shape == IDS else rng.normal(size=(24, *shape))
    return tf.lite.TFLiteConverter.from_keras_model(model).convert(), samples.astype(x.dtype)


def _outputs(content: bytes, samples: np.ndarray) -> np.ndarray:
    interpreter = make_interpreter(content)
    return np.stack([run(interpreter, {"x": sample[None]})[0] for sample in samples])


# By day every other one: three cells or four of each network, six networks or seven of each cell.
@pytest.mark.parametrize(
    ("name", "bits", "most", "form"),
    [
        pytest.param(name, *cell, marks=[pytest.mark.nightly] if (row + column) % 2 else [])
        for row, name in enumerate(NETS)
        for column, cell in enumerate(CELLS)
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_files_compute_their_points(name: str, bits: int, most: int, form: str) -> None:
    content, samples = _net(name)
    rule = tfmpq.Rule(r".*", bits=bits, max_points=most)
    result = tfmpq.convert(
        content,
        samples[:16],
        activations="float",
        recipe=tfmpq.Recipe([rule]),
        # Half of what second points of all rows take: rows differ where there are several.
        budget=tfmpq.ExtraBits(0.5 * (most - 1)) if form != "fused" else tfmpq.ExtraBits(most - 1.0),
        lowering=form,
        sensitivity="energy",
        progress=False,
    )
    validation = result.report.validation
    assert validation is not None
    assert validation.kernels == ("xnnpack", "builtin", "reference")
    assert validation.deviation is not None
    if most == 1:  # with more, so small layers may take fewer bytes as int8 rows
        low = bits <= 4 and name not in ("conv", "grouped", "transposed", "odd inputs")
        types = {t.type for t in load(result.tflite_model).graph.tensors() if t.data is not None}
        assert (TensorType.INT4 in types) == low
    files = [result.tflite_model, *([expand(result.tflite_model)] if form == "compact" else [])]
    expected = _outputs(content, samples[16:])
    several = most if form == "fused" or most == 1 else 1  # half of the rows may have a single point
    for file in files:
        error = _outputs(file, samples[16:]) - expected
        decibels = 10 * np.log10((expected**2).sum() / (error**2).sum())
        assert decibels > (LEAST[bits, most] if several == most else {4: 12.0, 2: 3.0}[bits])
