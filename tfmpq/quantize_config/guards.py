"""Says that a Keras 3 object is one, where tfmot would say it takes Keras objects only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow_model_optimization as tfmot

from converters.errors import ModelError

_GUARDED = ("quantize_annotate_layer", "quantize_annotate_model", "quantize_apply", "quantize_model")


def refuse_keras3(value: Any) -> None:
    """Raises a :class:`ModelError` for layers and models of Keras 3."""
    if any(cls.__module__.startswith("keras.src.") and cls.__name__ == "Layer" for cls in type(value).__mro__):
        raise ModelError(
            f"'{value.name}' ({type(value).__name__}) is a Keras 3 object, and tensorflow-model-optimization works "
            "with tf_keras (Keras 2) only. Annotate Keras 3 models with tfmpq.keras.annotate, or build the model with "
            "tf_keras."
        )


def install() -> None:
    """Puts the check before tfmot's own in the functions of ``tfmot.quantization.keras`` that take layers or models."""
    api = tfmot.quantization.keras
    for name in _GUARDED:
        setattr(api, name, _guarded(getattr(api, name)))


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    if hasattr(function, "_refuses_keras3"):
        return function

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            refuse_keras3(value)
        return function(*args, **kwargs)

    guarded._refuses_keras3 = True  # type: ignore[attr-defined]
    return guarded
