"""Which tf_keras layers can be simulated, and where they keep their weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from converters.errors import ModelError
from tfmpq.quantize_config.guards import refuse_keras3


@dataclass(frozen=True)
class Kernel:
    """A layer's weight.

    Attributes:
        attribute: its name in the layer.
        channel_axes: axes of the output channels.
    """

    attribute: str
    channel_axes: tuple[int, ...]


_KERNELS = {
    "DepthwiseConv2D": Kernel("depthwise_kernel", (2, 3)),
    "Conv2DTranspose": Kernel("kernel", (2,)),
    "Conv2D": Kernel("kernel", (-1,)),
    "Dense": Kernel("kernel", (-1,)),
}
_INSTEAD = {
    "SeparableConv": "build it from DepthwiseConv2D and Conv2D(kernel_size=1), which compute the same",
    "Conv1D": "use Conv2D on inputs with an extra axis of size 1",
}


def kernel_of(layer: Any) -> Kernel:
    """Where a tf_keras layer keeps the weight to be simulated.

    Raises:
        ModelError: A Keras 3 layer, or a kind that tfmot or TensorFlow Lite cannot take.
    """
    refuse_keras3(layer)
    names = [cls.__name__ for cls in type(layer).__mro__]
    known = next((name for name in names if name in _KERNELS), None)
    if known and not names[0].startswith("SeparableConv"):
        return _KERNELS[known]
    instead = next((text for kind, text in _INSTEAD.items() if names[0].startswith(kind)), None)
    raise ModelError(
        f"layer '{layer.name}' ({names[0]}) cannot take a MultipointQuantizeConfig; {', '.join(_KERNELS)} layers can. "
        + (f"Instead, {instead}." if instead else "Annotate it without a config, or not at all.")
    )
