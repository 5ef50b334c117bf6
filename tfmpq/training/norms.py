"""Normalizations of a model in training, as they are in inference."""

from __future__ import annotations

from typing import Any

import keras

from converters.errors import ModelError
from tfmpq.keras.checks import check_model
from tfmpq.keras.rebuild import graph_layers
from tfmpq.keras.wrappers import Simulate

_CALLER = "tfmpq.training.freeze_norms"


def freeze_norms(model: Any) -> int:
    """Freezes the batch normalizations of a model: their statistics, scales and offsets stay what they are.

    For trainings of a few epochs. In training a normalization takes the mean and variance of the batch; in inference
    those of all batches before, which a short training at a high rate leaves behind. Frozen, the model is trained as
    the file computes. Call it before ``compile``.

    Args:
        model: of one of the functions of :mod:`tfmpq.training`; changed.

    Returns:
        How many were frozen.

    Raises:
        ModelError: No Keras 3 model, or it is compiled already.
    """
    check_model(model, _CALLER)
    if model.compiled:
        raise ModelError(
            f"{_CALLER}: model '{model.name}' is compiled already, and would be trained as it was. Call this before."
        )
    norms = [norm for _, layer in graph_layers(model) for norm in _norms_of(layer)]
    for norm in norms:
        norm.trainable = False
    return len(norms)


def _norms_of(layer: Any) -> list[Any]:
    found = [layer.norm] if isinstance(layer, Simulate) and layer.norm is not None else [layer]
    return [norm for norm in found if isinstance(norm, keras.layers.BatchNormalization)]
