"""tf_keras models with multipoint layers, and what the converted files hold of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tf_keras

with warnings.catch_warnings():  # tfmot compares versions in an outdated way
    warnings.simplefilter("ignore")
    import tensorflow_model_optimization as tfmot

from tests.support.pipeline import convert_once
from tfmpq.quantize_config import MultipointQuantizeConfig
from tfmpq.quantize_config.folding import inner
from tfmpq.simulation.points import channel_rows

__all__ = ["MultipointQuantizeConfig", "inner", "tfmot"]

qat: Any = tfmot.quantization.keras
layers: Any = tf_keras.layers
SHAPE = (10, 10, 3)
CONFIGS = {
    "stem": {"bits": 8},
    "depthwise": {"bits": 4},
    "project": {"bits": 3, "share": 0.5},
    "full": {"bits": 2, "points": 2},
    "up": {"bits": 4, "algorithm": "greedy"},
    "hidden": {"bits": 4, "epsilon": 0.02},
    "classifier": {"bits": 4, "points": [1, 2, 1, 2, 1, 2]},
}


def network() -> Any:
    """Every kind of layer, with batch normalizations that turn some rows around, and a residual sum."""
    tf_keras.utils.set_random_seed(0)

    def after(x: Any, layer: Any, activation: Any = None) -> Any:
        x = layers.BatchNormalization(name=f"{layer.name}_bn")(layer(x))
        return x if activation is None else activation(x)

    image = x = layers.Input(SHAPE, name="image")
    x = after(x, layers.Conv2D(8, 3, use_bias=False, name="stem"), layers.ReLU(6.0, name="stem_relu"))
    skip = x = after(x, layers.DepthwiseConv2D(3, padding="same", name="depthwise"), layers.ReLU(name="depthwise_relu"))
    x = after(x, layers.Conv2D(8, 1, name="project"))
    x = layers.Activation("relu", name="sum_relu")(layers.Add(name="sum")([x, skip]))
    x = layers.ReLU(name="full_relu")(layers.Conv2D(8, 3, name="full")(x))
    x = after(x, layers.Conv2DTranspose(6, 3, strides=2, name="up"), layers.ReLU(name="up_relu"))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(16, activation="relu", name="hidden")(x)
    x = layers.Dense(6, name="classifier")(x)
    model = tf_keras.Model(image, layers.Softmax(name="softmax")(x), name="network")
    mix_signs(model)
    return model


def mix_signs(model: Any) -> None:
    """Batch normalizations as training leaves them, and with scales of both signs."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.beta.shape
            if layer.scale:
                layer.gamma.assign(rng.choice([-1, 1], size) * rng.uniform(0.5, 1.5, size))
            layer.beta.assign(rng.normal(0, 0.3, size))
            layer.moving_mean.assign(rng.normal(0, 0.3, size))
            layer.moving_variance.assign(rng.uniform(0.3, 2, size))


def annotate(model: Any, configs: dict[str, dict[str, Any]] | None = None, *, everything: bool = False) -> Any:
    """The model with a config on the named layers; ``everything``: and tfmot's default on the others."""
    chosen = CONFIGS if configs is None else configs

    def wrap(layer: Any) -> Any:
        if layer.name not in chosen:
            return layer
        return qat.quantize_annotate_layer(layer, MultipointQuantizeConfig(**chosen[layer.name]))

    annotated = tf_keras.models.clone_model(model, clone_function=wrap)
    return qat.quantize_annotate_model(annotated) if everything else annotated


def train(model: Any, *, steps: int = 4) -> Any:
    """A few steps on noise, which is enough to move every weight."""
    x, labels = images(16 * steps), np.random.default_rng(3).integers(0, model.output_shape[-1], 16 * steps)
    model.compile(tf_keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x, labels, batch_size=16, verbose=0)
    return model


def images(count: int) -> np.ndarray:
    """Inputs for :func:`network`."""
    return np.random.default_rng(2).normal(size=(count, *SHAPE)).astype(np.float32)


def wrapper(model: Any, name: str) -> Any:
    """What tfmot wrapped around the layer ``name`` in a quantized model."""
    return next(layer for layer in model.layers if inner(layer) is not layer and inner(layer).name == name)


def simulated_rows(model: Any, name: str, channel_axes: tuple[int, ...]) -> np.ndarray:
    """(C, d): the weight that the layer of a quantized model computes with, taken from its forward pass."""
    found = wrapper(model, name)
    [(weight, quantizer, variables)] = found._weight_vars
    return channel_rows(quantizer(weight, False, weights=variables).numpy(), channel_axes)


def file_rows(model: Any, name: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """(C, d): the weight of a layer in the float file that TensorFlow makes of a model without wrappers."""
    samples = [{model.input_names[0]: np.zeros((1, *shape), np.float32)}]
    return convert_once(model, samples).layers[name].weight
