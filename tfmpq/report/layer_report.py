"""What a conversion did to each layer, and the table of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfmpq.text import Column, Table

STOCK = "stock"
_COLUMNS = (
    Column("layer", least=12),
    Column("op", spare=True),
    Column("weight", least=9, spare=True),
    Column("bits", numeric=True),
    Column("algorithm", least=8, spare=True),
    Column("rows by points", least=12),
    Column("lowering", spare=True),
    Column("stock B", numeric=True, spare=True),
    Column("bytes", numeric=True),
    Column("SQNR dB", numeric=True),
    Column("error", numeric=True),
)
_ALGORITHM = [column.title for column in _COLUMNS].index("algorithm")
LEGEND = "SQNR: layer output to weight rounding error. error: share of the predicted error at the network's output."
_SHORT_OPS = {
    "CONV_2D": "conv",
    "EMBEDDING_LOOKUP": "embedding",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "TRANSPOSE_CONV": "transpose",
}


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        name: the user's Keras layer name.
        op: operator that computed it in the float model, such as ``CONV_2D``.
        shape: shape of its weight in the file's layout.
        rows: output channels.
        bits: bits of a point; 8 for layers kept as stock has them.
        algorithm: what chose the points; None for kept layers.
        lowering: ``"parallel"``, ``"split"`` or ``"fused"`` as written, ``"stock"`` for kept layers.
        points: points per row -> number of rows.
        bytes_before: constants (weights, biases, scales) of its operators in the int8 file it is replaced in.
        bytes_after: the same in the emitted file.
        sqnr_db: output signal to weight rounding noise on the samples that the report measures on, at the positions
            that the network's outputs depend on; inf: exact, or no samples.
        error_share: part of the predicted error at the network's output, 0..1; None for kept layers.
        moment_blocks: in how many blocks of columns the moments of its inputs are known; 1: whole; None for kept
            layers, and tables, which have none.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    rows: int
    bits: int
    algorithm: str | None
    lowering: str
    points: dict[int, int]
    bytes_before: int
    bytes_after: int
    sqnr_db: float
    error_share: float | None
    moment_blocks: int | None = None

    def cells(self) -> tuple[str, ...]:
        """Its line of :func:`layer_table`."""
        return (
            self.name,
            _SHORT_OPS.get(self.op, self.op),
            "x".join(map(str, self.shape)),
            str(self.bits),
            self.algorithm or "-",
            " ".join(f"{points}:{rows}" for points, rows in self.points.items()),
            self.lowering,
            f"{self.bytes_before:,}",
            f"{self.bytes_after:,}",
            decibels(self.sqnr_db, unit=""),
            "-" if self.error_share is None else percent(self.error_share, 1),
        )


def moments_in_blocks(layers: Sequence[LayerReport]) -> Iterator[tuple[str, str]]:
    """Layers of more inputs than samples tell the whole moments of, or memory holds, and what they have instead."""
    for layer in layers:
        if layer.moment_blocks is not None and layer.moment_blocks > 1:
            columns = math.prod(layer.shape) // layer.rows
            width = -(-columns // layer.moment_blocks)
            yield layer.name, f"{layer.moment_blocks} blocks of {width:,} columns, not one of {columns:,}"


def layer_table(layers: Sequence[LayerReport]) -> Table:
    """A line for every layer; an algorithm that is the same everywhere is not worth a column."""
    rows = tuple(layer.cells() for layer in layers)
    algorithms = {layer.algorithm for layer in layers if layer.algorithm}
    if len(algorithms) > 1:
        return Table(_COLUMNS, rows, notes=(LEGEND,))
    columns = _COLUMNS[:_ALGORITHM] + _COLUMNS[_ALGORITHM + 1 :]
    rows = tuple(row[:_ALGORITHM] + row[_ALGORITHM + 1 :] for row in rows)
    return Table(columns, rows, notes=(LEGEND, *(f"algorithm: {name}" for name in algorithms)))


def percent(share: float, digits: int) -> str:
    """A share of 0..1 in percent."""
    return f"{100 * share:.{digits}f} %"


def decibels(value: float, unit: str = " dB") -> str:
    """A signal to noise ratio; without noise it is infinite."""
    return "exact" if value == math.inf else f"{value:.1f}{unit}"
