"""FULLY_CONNECTED: weight (C, d)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.layers.im2col import Geometry, Reading
from converters.layers.kinds.kind import SpatialWork, WeightKind
from converters.tflite.graph import BuiltinOperator, Op, Tensor


class Dense(WeightKind):
    """Dense layers; they may flatten their input."""

    name = "dense"
    code = BuiltinOperator.FULLY_CONNECTED
    dynamic_version = 9

    def geometry(self, op: Op, shape: Sequence[int]) -> Geometry:
        return Geometry()

    def mixed_order(self, op: Op, x: Tensor, shape: Sequence[int]) -> str | None:
        return f"{op.name} stores its weights shuffled" if getattr(op.options, "weightsFormat", 0) else None

    def fixed_columns(self, op: Op, x: Tensor, shape: Sequence[int]) -> str | None:
        flattens = (x.shape[-1] if x.shape else 1) != shape[-1]
        return f"{op.name} flattens {x.shape} to rows of {shape[-1]}" if flattens else None

    def is_product(self, geometry: Geometry, groups: int) -> bool:
        return True

    def keeps_dims(self, op: Op) -> bool:
        return bool(op.options.keepNumDims)

    def patches(
        self, x: np.ndarray, reading: Reading, *, fill: float = 0, positions: np.ndarray | None = None
    ) -> np.ndarray:
        flat = x.reshape(1, -1, reading.columns)
        return flat if positions is None else flat[:, positions]

    def position_count(self, x: np.ndarray, reading: Reading) -> int:
        return x.size // reading.columns

    def result_shape(self, op: Op, x: np.ndarray, channels: int, columns: int) -> list[int]:
        return [*x.shape[:-1], channels] if op.options.keepNumDims else [x.size // columns, channels]

    def work(self, op: Op, shape: Sequence[int], source: Tensor, positions: int) -> SpatialWork:
        return SpatialWork("dense" if positions == 1 else "1x1", positions)
