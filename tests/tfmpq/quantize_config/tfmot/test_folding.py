"""The normalizations that a layer takes for folded are those that TensorFlow's converter folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tf_keras

from tests.tfmpq.quantize_config.tfmot.networks import (
    SHAPE,
    MultipointQuantizeConfig,
    file_rows,
    inner,
    layers,
    mix_signs,
    qat,
    wrapper,
)
from tfmpq.quantize_config.folding import folded_normalizations, row_sign
from tfmpq.quantize_config.kinds import kernel_of
from tfmpq.simulation.points import channel_rows


def conv(**options: Any) -> Any:
    return layers.Conv2D(6, 3, name="layer", **options)


def norm(name: str = "bn", **options: Any) -> Any:
    return layers.BatchNormalization(name=name, **options)


def chain(*following: Any, layer: Callable[[], Any] = conv) -> Callable[[Any], Any]:
    def build(x: Any) -> Any:
        for step in (layer(), *following):
            x = step(x)
        return x

    return build


def two_readers(x: Any) -> Any:
    y = conv()(x)
    return layers.Add()([norm()(y), layers.ReLU()(y)])


def two_normalizations_side_by_side(x: Any) -> Any:
    y = conv()(x)
    return layers.Add()([norm()(y), norm("other")(y)])


def read_twice_behind(x: Any) -> Any:
    y = norm()(conv()(x))
    return layers.Add()([y, layers.ReLU()(y)])


CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "convolution": (chain(norm(), layers.ReLU()), ["bn"]),
    "with bias": (chain(norm(), layer=lambda: conv(use_bias=True)), ["bn"]),
    "without scale": (chain(norm(scale=False)), ["bn"]),
    "depthwise": (
        chain(norm(), layer=lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="layer")),
        ["bn"],
    ),
    "transposed": (chain(norm(), layer=lambda: layers.Conv2DTranspose(6, 3, name="layer")), ["bn"]),
    "dense": (chain(norm(), layer=lambda: layers.Dense(6, name="layer")), ["bn"]),
    "two in a row": (chain(norm(), norm("bn2")), ["bn", "bn2"]),
    "dropout between": (chain(layers.Dropout(0.5), norm()), ["bn"]),
    "activation inside": (chain(norm(), layer=lambda: conv(activation="relu")), []),
    "activation between": (chain(layers.ReLU(), norm()), []),
    "padding between": (chain(layers.ZeroPadding2D(), norm()), []),
    "pooling between": (chain(layers.AveragePooling2D(), norm()), []),
    "flat": (chain(layers.Flatten(), norm()), []),
    "two readers": (two_readers, []),
    "side by side": (two_normalizations_side_by_side, []),
    "read twice behind": (read_twice_behind, ["bn"]),
    "nothing": (chain(), []),
}


def test_sequential_models():
    model = tf_keras.Sequential([layers.Input(SHAPE), conv(), norm(), layers.ReLU()])
    mix_signs(model)
    quantized = qat.quantize_apply(tf_keras.models.clone_model(model, clone_function=annotate))
    sign = row_sign(wrapper(quantized, "layer"))
    assert sign is not None
    gamma: Any = model.get_layer("bn")
    np.testing.assert_array_equal(sign, np.sign(gamma.gamma))


def test_a_layer_that_is_called_twice_keeps_its_rows():
    """TensorFlow folds each call on its own, and no sign would be right for both."""
    shared = qat.quantize_annotate_layer(layers.Conv2D(3, 1, name="layer"), MultipointQuantizeConfig())
    x = image = layers.Input(SHAPE)
    for number in range(2):
        x = norm(f"bn{number}")(shared(x))
    quantized = qat.quantize_apply(tf_keras.Model(image, x))
    assert row_sign(wrapper(quantized, "layer")) is None


def annotate(layer: Any) -> Any:
    """A config on the one layer that is looked at."""
    return qat.quantize_annotate_layer(layer, MultipointQuantizeConfig()) if layer.name == "layer" else layer


@pytest.mark.parametrize("name", list(CASES))
def test_as_tensorflow_folds(name: str):
    build, expected = CASES[name]
    image = layers.Input(SHAPE, name="image")
    model = tf_keras.Model(image, build(image))
    mix_signs(model)
    layer = model.get_layer("layer")
    kernel = kernel_of(layer)
    rows = channel_rows(getattr(layer, kernel.attribute).numpy(), kernel.channel_axes)
    factors = (file_rows(model, "layer") * rows).sum(axis=1) / (rows**2).sum(axis=1)
    quantized = qat.quantize_apply(tf_keras.models.clone_model(model, clone_function=annotate))
    found = wrapper(quantized, "layer")
    assert [inner(layer).name for layer in folded_normalizations(found)] == expected
    sign = row_sign(found)
    np.testing.assert_array_equal(np.sign(factors), np.ones(len(rows)) if sign is None else sign)
    if expected:
        assert not np.allclose(factors, 1)  # something was folded
    else:
        np.testing.assert_allclose(factors, 1, rtol=1e-6)  # float32
