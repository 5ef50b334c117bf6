"""Mix-ups of Keras generations, layers and models, each with its message."""

from __future__ import annotations

import os
from typing import Any

import keras

from converters.errors import ModelError


def check_keras3(value: object, caller: str) -> None:
    """Checks that an argument is a Keras 3 layer or model.

    Raises:
        ModelError: It is something else.
    """
    if isinstance(value, keras.layers.Layer):
        return
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if any(cls.__module__.partition(".")[0] == "tf_keras" for cls in kind.__mro__):
        legacy = ""
        if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
            legacy = " (TF_USE_LEGACY_KERAS is set, so tf.keras means tf_keras; importing tfmot sets it)"
        raise ModelError(
            f"{caller}: {name} is an object of tf_keras, that is Keras 2{legacy}. tfmpq.keras is for Keras 3: build "
            "the model with `import keras`, or use tfmot's functions with tfmpq.quantize_config."
        )
    if isinstance(value, type):
        raise ModelError(f"{caller}: {value.__name__} is a class. Give a layer or a model: {value.__name__}(...).")
    raise ModelError(f"{caller}: {name} is neither a Keras 3 layer nor a Keras 3 model.")


def is_functional(model: object) -> bool:
    """Whether a model is a graph of layers and computes nothing else."""
    functional = next((cls for cls in type(model).__mro__ if cls.__name__ == "Functional"), None)
    return functional is not None and type(model).call is functional.call  # pyright: ignore[reportAttributeAccessIssue]


def is_graph(model: object) -> bool:
    """Whether a model consists of known layers: Sequential or functional."""
    return type(model) is keras.Sequential or is_functional(model)


def check_model(value: Any, caller: str) -> None:
    """Checks that an argument is a Keras 3 model that can be rebuilt layer by layer.

    Raises:
        ModelError: It is something else, subclassed or not built.
    """
    check_keras3(value, caller)
    if not isinstance(value, keras.Model):
        raise ModelError(
            f"{caller}: '{value.name}' ({type(value).__name__}) is a layer, not a model. Put it into one: "
            "keras.Sequential([keras.Input(shape), layer])"
        )
    check_graph(value, caller)


def check_graph(model: Any, caller: str) -> None:
    """Checks that the model can be rebuilt layer by layer.

    Raises:
        ModelError: It is subclassed or not built.
    """
    if not is_graph(model):
        raise ModelError(
            f"{caller}: model '{model.name}' ({type(model).__name__}) is subclassed: what it computes stands in its "
            "call(), where no layer can be replaced. Write it as a keras.Sequential or functional model "
            "(keras.Model(inputs, outputs)), or call tfmpq.keras.annotate on the layers inside when you make them."
        )
    if not (model.built and model.inputs):
        raise ModelError(
            f"{caller}: model '{model.name}' is not built: its layers have no weights yet. Start it with "
            "keras.Input(shape), or call it once on a sample."
        )
