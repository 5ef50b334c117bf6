"""Which layers can be simulated, and where each keeps its weight."""

from __future__ import annotations

from typing import Any

import keras

from converters.errors import ModelError

# Axes of the output channels, see tfmpq.simulation.points.channel_rows.
CHANNEL_AXES: dict[type, tuple[int, ...]] = {
    keras.layers.Conv1D: (-1,),
    keras.layers.Conv2D: (-1,),
    keras.layers.Conv1DTranspose: (1,),
    keras.layers.Conv2DTranspose: (2,),
    keras.layers.Dense: (-1,),
    keras.layers.DepthwiseConv1D: (1, 2),
    keras.layers.DepthwiseConv2D: (2, 3),
}


def is_supported(layer: object) -> bool:
    """Whether the layer can be annotated; subclasses may compute otherwise, and cannot."""
    return type(layer) in CHANNEL_AXES


def kernel_of(layer: Any) -> Any:
    """The variable that holds the weight of a built layer."""
    # Where the layer also has low-rank updates, `kernel` is a tensor.
    return layer._kernel if hasattr(layer, "_kernel") else layer.kernel


def check_layer(layer: Any) -> None:
    """Checks that a layer can be annotated.

    Raises:
        ModelError: It cannot; the message says why.
    """
    what = f"layer '{layer.name}' ({type(layer).__name__})"
    if is_supported(layer):
        if getattr(layer, "lora_enabled", False):
            raise ModelError(
                f"{what} has LoRA weights, which are no part of its kernel. Merge them before: save the model and load "
                "its weights into one without LoRA."
            )
        return
    names = ", ".join(cls.__name__ for cls in CHANNEL_AXES)
    if layer.built and not layer.weights:
        raise ModelError(
            f"{what} has no weights: there is nothing to annotate. Annotate the layers that have some: {names}."
        )
    raise ModelError(
        f"{what} cannot be simulated: tfmpq simulates {names}, not subclasses of them. Leave it as it is; "
        "tfmpq.convert may quantize it all the same."
    )
