"""The files that are tried: two small networks with every kind of layer between them, in every form and io type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from converters.lowering.forms import lowerings
from tfmpq.options import IoType
from tfmpq.result import ConversionResult

IO_TYPES: tuple[IoType, ...] = get_args(IoType)
_TARGETS = ("openvino", "qnn", "mtk")  # those that are not measured
_LEAN: dict[str, dict[str, Any]] = {  # less in the file, the same outputs
    "names stripped": {"names": "strip"},
    "names stripped, bias scales shared": {"names": "strip", "bias_scales": "shared"},
}
SHAPE = (32, 32, 4)
_SAMPLES = 16
STOCK = "stock"
EXPANDED = "compact, expanded"
FLOATS = "stock, float activations"


@dataclass(frozen=True, eq=False)
class Subject:
    """A file that runtimes are to run.

    Attributes:
        network: ``classifier`` or ``upsampler``.
        form: a lowering, or one of ``STOCK``, ``EXPANDED`` and ``FLOATS``.
        io_type: of its inputs and outputs; float activations have float ones.
        content: the file.
    """

    network: str
    form: str
    io_type: str
    content: bytes

    @property
    def name(self) -> str:
        """The file's, without extension."""
        return f"{self.network}-{self.form}-{self.io_type}".replace(", ", "-").replace(" ", "-")

    @property
    def stock(self) -> str:
        """Name of the stock file it is compared with."""
        return Subject(self.network, STOCK, self.io_type, b"").name


def classifier(keras: Any) -> Any:
    """A 3x3 convolution, a depthwise one, 1x1 convolutions, a strided one and dense layers, in one line."""
    layers = keras.layers
    x = image = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu6", name="stem")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Conv2D(64, 1, activation="relu6", name="expand")(x)
    x = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu", name="strided")(x)
    x = layers.Conv2D(48, 1, name="project")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(64, activation="relu", name="hidden")(x)
    return _settle(keras.Model(image, layers.Dense(10, name="head")(x), name="classifier"))


def upsampler(keras: Any) -> Any:
    """A strided convolution and a transposed one, as in segmentation."""
    layers = keras.layers
    x = image = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(48, 3, strides=2, padding="same", activation="relu", name="down")(x)
    x = layers.Conv2D(64, 1, activation="relu", name="middle")(x)
    x = layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu", name="up")(x)
    return _settle(keras.Model(image, layers.Conv2D(6, 1, name="classes")(x), name="upsampler"))


def _settle(model: Any) -> Any:
    rng = np.random.default_rng(3)
    for variable in model.weights:
        fan_in = max(np.prod(variable.shape[:-1]), 1.0)
        variable.assign((rng.standard_t(5, tuple(variable.shape)) / np.sqrt(fan_in)).astype(np.float32))
    return model


def samples() -> np.ndarray:
    """Smooth noise between -1 and 1, (samples, height, width, channels)."""
    coarse = np.random.default_rng(4).uniform(-1, 1, (_SAMPLES, 8, 8, SHAPE[-1]))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)


def subjects() -> Iterator[Subject]:
    """Every file: the classifier's in all io types, the upsampler's in int8."""
    import keras

    made = classifier(keras)
    for io_type in IO_TYPES:
        yield from _forms("classifier", made, io_type)
    for title, options in _LEAN.items():
        yield Subject("classifier", f"auto, {title}", "int8", _converted(made, "auto", "int8", **options).tflite_model)
    yield Subject("classifier", FLOATS, "float32", _float_activations(made))
    for target in _TARGETS:
        content = _converted(made, "auto", "int8", target=target).tflite_model
        yield Subject("classifier", f"auto, target {target}", "int8", content)
    yield from _forms("upsampler", upsampler(keras), "int8")


def _forms(network: str, model: Any, io_type: IoType) -> Iterator[Subject]:
    """A network's files, stock's first."""
    import tfmpq

    stock = None
    for form in lowerings():
        result = _converted(model, form, io_type)
        if stock is None:
            stock = result.stock_model
            yield Subject(network, STOCK, io_type, stock)
        yield Subject(network, form, io_type, result.tflite_model)
        if form == "compact":
            yield Subject(network, EXPANDED, io_type, tfmpq.expand(result.tflite_model))


def _converted(model: Any, form: str, io_type: IoType, **options: Any) -> ConversionResult:
    import tfmpq

    options |= {"lowering": form, "io_dtype": io_type, "budget": tfmpq.ExtraBits(0.10)}  # the same for all forms
    return tfmpq.convert(model, samples(), progress=False, validate=False, **options)


def _float_activations(model: Any) -> bytes:
    """TensorFlow's own dynamic range quantization: int8 weights, float activations; tfmpq writes none such."""
    import keras
    import tensorflow as tf

    image = keras.Input(batch_shape=(1, *SHAPE))  # some runtimes refuse an open batch
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()
