"""What a form is: one way to write a layer's points as operators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from converters.layers.layer import Layer
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.ranges import PartialKey
from converters.lowering.result import LoweredLayer
from converters.targets import Target, gather_work, work_of
from converters.tflite.graph import Graph, Tensor

Segments = Sequence[tuple[int, int]]  # (points, rows), more points first
# Where a form wants rows: as they are; those with more points first, in the whole graph; or first within the layer
# only, put back in order behind it.
RowOrder = Literal["kept", "sorted", "restored"]
# How points that are ops of their own are stored: as INT4 where that runs fast, wherever it runs at all, in
# convolutions and dense layers as they are, or never.
Storage = Literal["auto", "int4", "own", "int8"]
ROW_BYTES = 8  # scale and bias
OP_BYTES = 450  # an operator with its tensors and their names


def segments_of(counts: np.ndarray) -> Segments:
    """Rows of a layer by their number of points."""
    values, rows = np.unique(counts, return_counts=True)
    return [(int(v), int(n)) for v, n in zip(values[::-1], rows[::-1], strict=True)]


@dataclass(frozen=True)
class Request:
    """Rows that a form is asked to write.

    Attributes:
        layer: with its ops in an int8 graph.
        segments: its rows by points.
        bits: of a point.
        merges: whether every row is one int8 row too.
        frozen: why the order of the rows must stay; None if it may change.
        restored: positions of the tensor behind at which their order must be put back if it changes; 0: it need not.
        in_place: whether rows with more points come first in the model's own order, so that none has to move.
    """

    layer: Layer
    segments: Segments
    bits: int
    merges: bool
    frozen: str | None = None
    restored: int = 0
    in_place: bool = False

    @cached_property
    def several(self) -> int:
        """Rows with several points."""
        return sum(rows for points, rows in self.segments if points > 1)

    @property
    def mixed(self) -> bool:
        """Whether rows differ in their number of points."""
        return len(self.segments) > 1

    @property
    def displaced(self) -> bool:
        """Whether rows with several points would have to move although their order must stay."""
        stays = self.in_place and not self.layer.full_width
        return self.frozen is not None and self.mixed and self.several > 0 and not stays


@dataclass(frozen=True)
class FormCost:
    """Constants in the file and predicted time of one layer in one form."""

    bytes: float
    microseconds: float


@dataclass(frozen=True)
class Writing:
    """What a form needs beside the layer to write it.

    Attributes:
        ranges: calibrated (min, max) of every partial output.
        storage: how points that stay apart are stored.
        restore: rows are in the form's own order: the row to take for each output channel; None: nothing to restore.
    """

    ranges: Mapping[PartialKey, tuple[float, float]]
    storage: Storage = "auto"
    restore: np.ndarray | None = None


class Form(ABC):
    """One way to write a layer.

    Attributes:
        name: what ``lowering=`` and recipes call it.
        used: what a report says of a layer that was written so instead of as asked.
        instead: names of the forms that are tried, in this order, where this one refuses.
        asked_for: whether users may ask for it.
        merges_rows: whether rows with several points must be int8 rows too.
        plans_refused: whether points may be planned that it refuses; they are written by another form then. Else it is
            not planned with such points.
        beyond: among several forms for ``auto``: taken only where the latency asks for it; its points are not counted,
            as the bytes are spent for speed.
    """

    name: ClassVar[str]
    used: ClassVar[str]
    instead: ClassVar[tuple[str, ...]] = ()
    asked_for: ClassVar[bool] = True
    merges_rows: ClassVar[bool] = False
    plans_refused: ClassVar[bool] = False
    beyond: ClassVar[bool] = False

    def writes(self, layer: Layer) -> bool:
        """Whether it writes layers like that at all; tables have forms of their own."""
        return not layer.kind.table and not layer.lookups

    def lacking(self, target: Target) -> str | None:
        """What the target lacks for the form, and what to use; None if nothing."""
        return None

    def unsuitable(self, layer: Layer, bits: int) -> str | None:
        """Why no rows of the layer can be written so, and what to do; None if some can."""
        return None

    def automatic(self, layer: Layer, bits: int, *, merges: bool) -> bool:
        """Whether ``auto`` weighs the form for a layer; ``merges``: whether its rows with all points merge."""
        return False

    @abstractmethod
    def refuses(self, request: Request) -> str | None:
        """Why the rows cannot be written so; "" where there is nothing to say as another form writes the same."""

    def restores(self, layer: Layer) -> bool:
        """Whether it puts rows that must stay back in order behind the layer."""
        return False

    def order(self, request: Request) -> RowOrder:
        """Where it wants the rows."""
        return "kept"

    def partials(self, request: Request) -> bool:
        """Whether it writes the rows with partial outputs, whose ranges must be measured."""
        return False

    @abstractmethod
    def cost(self, request: Request, target: Target) -> FormCost:
        """What the rows cost on a target; only of rows it does not refuse."""

    def recorded(self, request: Request) -> str:
        """How the file's own record calls what was written."""
        return self.name

    @abstractmethod
    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        """Replaces the layer's ops in ``graph``.

        Raises:
            LoweringError: The points cannot be written so.
        """


def restoring_cost(request: Request, target: Target) -> FormCost:
    """The GATHERs that put rows back in order: behind the layer if they must stay, or at the tensor that was found."""
    channels, places = request.layer.channels, _restored_at(request)
    time = sum(
        target.microseconds(gather_work(positions=count, channels=channels, activation=request.layer.activation))
        for count in places
    )
    return FormCost(restoring_bytes(request), time)


def restoring_bytes(request: Request) -> float:
    """The constants of those GATHERs."""
    return len(_restored_at(request)) * (OP_BYTES + 4.0 * request.layer.channels)


def _restored_at(request: Request) -> list[int]:
    """Positions of every tensor that is put in order."""
    if request.displaced:
        return [positions_of(use.int8_op.outputs[0]) for use in request.layer.uses]
    return [request.restored] if request.restored and request.mixed and not request.in_place else []


def positions_of(tensor: Tensor) -> int:
    """Positions of an activation at batch 1."""
    return int(np.prod(tensor.shape[1:-1], dtype=np.int64)) if len(tensor.shape) > 2 else 1


def int8_cost(request: Request, target: Target) -> FormCost:
    """The layer as one int8 op: the same time and bytes whatever its rows' points."""
    layer = request.layer
    time = sum(target.microseconds(work_of(use.int8_op)) for use in layer.uses)
    return FormCost(layer.channels * (layer.columns + ROW_BYTES), time)


def mixed_bytes(request: Request, *, int4: bool = True) -> float:
    """Constants of rows with several points as int8, and of the others as INT4 where that is possible."""
    layer, singles = request.layer, request.layer.channels - request.several
    return request.several * layer.columns + singles * layer.columns / (2 if int4 else 1) + layer.channels * ROW_BYTES
