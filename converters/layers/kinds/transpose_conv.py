"""TRANSPOSE_CONV: output shape, weight (C, kh, kw, Cin), activation, bias."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from converters.layers.im2col import Reading, transposed_input
from converters.layers.kinds.kind import Site, SpatialWork, WeightKind, spatial_class
from converters.tflite.graph import BuiltinOperator, Op, Tensor


class TransposeConv(WeightKind):
    """Transposed convolutions: computed as plain ones over the spread input, with the kernel turned around."""

    name = "transpose_conv"
    code = BuiltinOperator.TRANSPOSE_CONV
    sites = (Site(2, 1, 3),)
    has_int4 = False
    dynamic_version = 2

    def _dilation(self, op: Op) -> tuple[int, int]:
        return (1, 1)

    def full_width(self, ops: Sequence[Op], *, groups: int, channels: int) -> str | None:
        computed = any(op.input(0).data is None for op in ops)
        return "output shape computed at run time" if computed else None

    def inputs(self, source: Tensor, weight: Tensor, bias: Tensor, *, shape: Tensor | None) -> list[Tensor | None]:
        return [shape, weight, source, bias]

    def output_shape(self, op: Op) -> Tensor | None:
        return op.input(0)

    def version(self, version: int) -> int:
        return max(version, 3)

    def out_shape(self, op: Op) -> tuple[int, int] | None:
        height, width = op.outputs[0].shape[1:3]
        return height, width

    def patches(
        self, x: np.ndarray, reading: Reading, *, fill: float = 0, positions: np.ndarray | None = None
    ) -> np.ndarray:
        assert reading.out_shape is not None
        spread, plain = transposed_input(x, reading.geometry, fill, reading.out_shape)
        return super().patches(spread, Reading(plain, reading.columns), fill=fill, positions=positions)

    def position_count(self, x: np.ndarray, reading: Reading) -> int:
        assert reading.out_shape is not None
        return x.shape[0] * reading.out_shape[0] * reading.out_shape[1]

    def work(self, op: Op, shape: Sequence[int], source: Tensor, positions: int) -> SpatialWork:
        """Every input position meets every weight."""
        size = prod(max(n, 1) for n in source.shape)
        return SpatialWork(spatial_class(op), size // max(source.shape[-1], 1))
