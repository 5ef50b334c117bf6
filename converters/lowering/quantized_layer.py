"""A layer with its chosen points, ready to be lowered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.layers.layer import Layer
from converters.points import MultipointWeight

# XNNPACK's INT4 dense kernels accumulate 16 times the sum (the codes sit in the high nibble): 2^26 leaves a factor of 2
# for the sum itself. Larger biases wrap around there (measured: outputs 30 steps off), and 2^-26 of a bias is nothing.
BIAS_LIMIT = 2.0**26
MULTIPLIER_LIMIT = 2.0**8  # XNNPACK refuses input_scale * weight_scale / output_scale from here on


@dataclass(frozen=True)
class QuantizedLayer:
    """Points and biases of one layer.

    Attributes:
        layer: the layer; its ops are those of the graphs being rewritten.
        weight: the points, rows and columns in the order the rewritten graph uses.
        biases: float32 (C,) for every use of the layer.
    """

    layer: Layer
    weight: MultipointWeight
    biases: tuple[np.ndarray, ...]

    def permuted(self, rows: np.ndarray | None, columns: np.ndarray | None) -> QuantizedLayer:
        """The same points with rows and columns in another order; None keeps an order."""
        biases = self.biases if rows is None else tuple(bias[rows] for bias in self.biases)
        return QuantizedLayer(self.layer, self.weight.permuted(rows, columns), biases)


def scale_floor(layer: Layer) -> np.ndarray:
    """Smallest weight scale (C,) at which every use's bias fits int32 and the multiplier stays in the kernels' range.

    XNNPACK takes multipliers input_scale * weight_scale / output_scale of at least 2^-32; below 2^-24 a row adds
    nothing to an 8-bit output anyway.
    """
    floor = np.zeros(layer.channels)
    for use in () if layer.reads_float else layer.uses:  # float sums and biases have room for all
        source, target = use.int8_input, use.int8_op.outputs[0]
        by_bias = np.abs(use.bias.astype(np.float64)) / (source.scale * BIAS_LIMIT)
        by_multiplier = 2.0**-24 * target.scale / source.scale
        floor = np.maximum(floor, np.maximum(by_bias, by_multiplier))
    # Rounded up to float32, which is what the file stores.
    return np.nextafter(floor.astype(np.float32), np.float32(np.inf)).astype(np.float64)


def scale_ceiling(layer: Layer) -> float:
    """A weight scale that every use's kernels refuse, as all larger ones: inputs so coarse beside the outputs.

    It binds where activations are huge and a fused activation clips what is made of them.
    """
    if layer.reads_float:
        return np.inf
    return min(MULTIPLIER_LIMIT * use.int8_op.outputs[0].scale / use.int8_input.scale for use in layer.uses)
