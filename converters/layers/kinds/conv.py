"""CONV_2D: weight (C, kh, kw, Cin / groups)."""

from __future__ import annotations

from collections.abc import Sequence

from converters.layers.im2col import Geometry
from converters.layers.kinds.kind import SpatialWork, WeightKind, spatial_class
from converters.tflite.graph import BuiltinOperator, Op, Tensor


class Conv(WeightKind):
    """Plain and grouped convolutions."""

    name = "conv"
    code = BuiltinOperator.CONV_2D
    needs_bias = True
    dynamic_version = 5

    def groups(self, channels: int, shape: Sequence[int]) -> int:
        return channels // shape[3]

    def mixed_order(self, op: Op, x: Tensor, shape: Sequence[int]) -> str | None:
        grouped = (x.shape[-1] if x.shape else 1) != shape[3]
        return f"{op.name} is grouped: each of its rows reads only some channels" if grouped else None

    def full_width(self, ops: Sequence[Op], *, groups: int, channels: int) -> str | None:
        return "grouped convolution" if groups > 1 else None

    def is_product(self, geometry: Geometry, groups: int) -> bool:
        return groups == 1 and geometry.kernel == geometry.stride == (1, 1)

    def work(self, op: Op, shape: Sequence[int], source: Tensor, positions: int) -> SpatialWork:
        kind = spatial_class(op)
        if kind != "strided" and shape[3] != source.shape[-1]:
            kind = "grouped"
        elif kind != "strided" and tuple(shape[1:3]) == (1, 1):
            kind = "dense" if positions == 1 else "1x1"
        return SpatialWork(kind, positions)
