"""DEPTHWISE_CONV_2D: weight (1, kh, kw, C), C a multiple of the input channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.layers.im2col import Reading, convolution_patches, pad_amounts
from converters.layers.kinds.kind import SpatialWork, WeightKind, spatial_class
from converters.tflite.graph import BuiltinOperator, Op, Tensor


class Depthwise(WeightKind):
    """Depthwise convolutions: a row reads one channel."""

    name = "depthwise"
    code = BuiltinOperator.DEPTHWISE_CONV_2D
    row_axis = 3
    needs_bias = True
    per_channel = True
    stays_float = "its kernels are slow with int8 weights beside float activations: it stays in float"

    def groups(self, channels: int, shape: Sequence[int]) -> int:
        return channels

    def mixed_order(self, op: Op, x: Tensor, shape: Sequence[int]) -> str | None:
        channels = x.shape[-1] if x.shape else 1
        return None if channels in (1, shape[3]) else f"{op.name} has {shape[3] // channels} rows for each channel"

    def full_width(self, ops: Sequence[Op], *, groups: int, channels: int) -> str | None:
        return "depth multiplier above 1" if channels != groups else None

    def patches(
        self, x: np.ndarray, reading: Reading, *, fill: float = 0, positions: np.ndarray | None = None
    ) -> np.ndarray:
        taken = convolution_patches(x, reading.geometry, fill=fill, positions=positions)
        count, height, width, channels = taken.shape
        return np.ascontiguousarray(taken.reshape(count, height * width, channels).transpose(2, 0, 1))

    def sums(self, op: Op, x: np.ndarray, rows: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        """Kernel element by kernel element: the patches would be many and tiny."""
        geometry = self.geometry(op, shape)
        axes = zip(x.shape[1:3], geometry.kernel, geometry.stride, geometry.dilation, strict=True)
        (top, bottom, height), (left, right, width) = (pad_amounts(*axis, geometry.padding) for axis in axes)
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0))).repeat(len(rows) // x.shape[-1], axis=-1)
        result = np.zeros((x.shape[0], height, width, len(rows)), np.result_type(x, rows))
        for element, factors in enumerate(rows.T):
            i, j = divmod(element, geometry.kernel[1])
            taken = x[:, i * geometry.dilation[0] :: geometry.stride[0], j * geometry.dilation[1] :: geometry.stride[1]]
            result += taken[:, :height, :width] * factors
        return result.reshape(-1, len(rows)), list(result.shape)

    def work(self, op: Op, shape: Sequence[int], source: Tensor, positions: int) -> SpatialWork:
        return SpatialWork(spatial_class(op), positions)
