"""EMBEDDING_LOOKUP: table (V, D), a row a token; ids in, rows out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.layers.im2col import Geometry, Reading
from converters.layers.kinds.kind import Site, SpatialWork, WeightKind
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType


class Embedding(WeightKind):
    """Tables: rows are looked up, not multiplied with."""

    name = "embedding"
    code = BuiltinOperator.EMBEDDING_LOOKUP
    sites = (Site(0, 1, None),)
    scaled_input = False
    table = True
    # TensorFlow Lite up to 2.17 takes version 3, and reads all int8 rows with the first one's scale.
    dynamic_version = 4  # refused there

    @classmethod
    def lookup_version(cls, table: Tensor) -> int:
        """Version of an operator that reads ``table``, with a scale a row.

        Those that do not know INT4 refuse it when they run, whatever the version; reference kernels up to LiteRT 2.0.3
        know it, and refuse 4.
        """
        return 3 if table.type == TensorType.INT4 else cls.dynamic_version

    def geometry(self, op: Op, shape: Sequence[int]) -> Geometry:
        return Geometry()

    def patches(
        self, x: np.ndarray, reading: Reading, *, fill: float = 0, positions: np.ndarray | None = None
    ) -> np.ndarray:
        raise TypeError("a table's rows are not multiplied with anything: count the ids that look them up")

    def position_count(self, x: np.ndarray, reading: Reading) -> int:
        return x.size

    def sums(self, op: Op, x: np.ndarray, rows: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        """The rows looked up, the scales taken off."""
        return rows[x.astype(np.int64).reshape(-1)].astype(np.float64), [x.size, rows.shape[1]]

    def work(self, op: Op, shape: Sequence[int], source: Tensor, positions: int) -> SpatialWork:
        return SpatialWork("rows", 0)  # nothing is multiplied
