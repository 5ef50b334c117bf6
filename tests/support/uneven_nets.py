"""Networks whose activations one int8 scale suits badly, and the same ones evened out by hand."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from converters.tflite.graph import Model
from tests.support.pipeline import Converted, Feed, convert_once

FACTORS = np.geomspace(1, 1000, 16)  # between the channels of layer "wide"


def uneven_model(factors: np.ndarray = FACTORS) -> Any:
    """Four convolutions, (8, 8, 3) -> (8, 8, 5); channels of ``wide`` are as large as ``factors``, ``next`` undoes it.

    All factors give the same function, and the same float weights up to them.
    """
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(image)
    x = layers.Conv2D(16, 1, name="wide")(x)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="next")(x)
    model = keras.Model(image, layers.Conv2D(5, 1, name="head")(x), name="uneven")
    kernel, bias = model.get_layer("wide").get_weights()
    model.get_layer("wide").set_weights([kernel * factors, bias * factors])
    kernel, bias = model.get_layer("next").get_weights()
    model.get_layer("next").set_weights([kernel / factors[:, None], bias])
    return model


def uneven_images(count: int = 64) -> np.ndarray:
    """Inputs for :func:`uneven_model`."""
    return np.random.default_rng(2).normal(size=(count, 8, 8, 3)).astype(np.float32)


@functools.cache
def uneven() -> Converted:
    """:func:`uneven_model` up to its stock int8 file."""
    feeds: list[Feed] = [{"image": image[None]} for image in uneven_images(32)]
    return convert_once(uneven_model(), feeds)


def evened(model: Model, factors: np.ndarray = FACTORS) -> Model:
    """The float file of :func:`uneven_model` with the factors taken out of its constants."""
    ops = []
    for op in model.graph.ops:
        changed = list(op.inputs)
        names = {t.name: i for i, t in enumerate(op.inputs) if t is not None and t.data is not None}
        written = op.outputs[0].name
        for name, i in names.items():
            tensor = op.input(i)
            values = tensor.array()
            if "/wide" in written and "/next" not in written:
                values = values / (factors[:, None, None, None] if values.ndim == 4 else factors)
            elif "/next" in written and values.ndim == 4:
                values = values * factors
            else:
                continue
            changed[i] = replace(tensor, name=f"{name}/evened", data=values.astype(np.float32).tobytes())
        ops.append(replace(op, inputs=changed))
    return model.with_ops(ops)
