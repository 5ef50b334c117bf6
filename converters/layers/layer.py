"""A weight layer: a matrix and the operators that compute with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from converters.layers.im2col import Geometry, Reading
from converters.layers.kinds import Site, WeightKind
from converters.tflite.graph import TYPE_NAMES, Op, Tensor, TensorType


@dataclass(frozen=True)
class Use:
    """One op that computes with the layer's weight (several where a layer is shared).

    Attributes:
        float_op, int8_op: the op in the float graph and in its twin with int8 weights (and activations, if not float).
        bias: float32 (C,), zeros where the op has none.
        site: where the op keeps the weight.
    """

    float_op: Op
    int8_op: Op
    bias: np.ndarray
    site: Site

    @property
    def float_input(self) -> Tensor:
        """The activation the layer reads, in the float graph."""
        return self.float_op.input(self.site.activation)

    @property
    def int8_input(self) -> Tensor:
        """The activation the layer reads, in the twin: int8 or float."""
        return self.int8_op.input(self.site.activation)


@dataclass(frozen=True)
class OtherUse:
    """An op of another graph of the file that computes with the layer's weight: written alike, but not measured.

    Attributes:
        graph: number of the graph, in float file and twin.
        op: the op in the twin.
        bias: float32 (C,), zeros where the op has none.
        lookup: where the op keeps the weight, if it looks up rows of what the layer multiplies with.
    """

    graph: int
    op: Op
    bias: np.ndarray
    lookup: Site | None = None


@dataclass(frozen=True)
class Layer:
    """A weight matrix and the ops that use it.

    Attributes:
        name: the user's Keras layer name where known, unique within the model.
        kind: what op computes it.
        weight: float32 (C, d), one row an output channel.
        groups: number of input groups; rows c*C/groups.. of group g read only the group's inputs.
        geometry: kernel, stride, dilation, padding.
        uses: the ops.
        is_first, is_last: whether it reads a graph input (not through a lookup) / is the last weight layer before an
            output, and no branch that others read on from.
        lookups: ops that look up rows of the matrix (tied embeddings), which stays one table for all.
        elsewhere: ops of other graphs with the same weight.
    """

    name: str
    kind: WeightKind
    weight: np.ndarray
    groups: int
    geometry: Geometry
    uses: tuple[Use, ...]
    is_first: bool = False
    is_last: bool = False
    lookups: tuple[Use, ...] = ()
    elsewhere: tuple[OtherUse, ...] = ()

    @property
    def channels(self) -> int:
        """Number of rows C."""
        return self.weight.shape[0]

    @property
    def columns(self) -> int:
        """Length of a row d."""
        return self.weight.shape[1]

    @property
    def site(self) -> Site:
        """Where its ops keep the weight."""
        return self.uses[0].site

    @property
    def reads_float(self) -> bool:
        """Whether its ops read float activations, which the runtime rounds row by row (dynamic range), or ids."""
        return self.kind.table or self.uses[0].int8_input.type == TensorType.FLOAT32

    @property
    def activation(self) -> str:
        """Type of the activations its ops read, as cost tables call it."""
        return TYPE_NAMES[self.uses[0].int8_input.type]

    @property
    def full_width(self) -> str | None:
        """Why its rows cannot be computed by several operators, some rows each; None if they can."""
        ops = [use.int8_op for use in self.uses]
        return self.kind.full_width(ops, groups=self.groups, channels=self.channels)

    @property
    def is_product(self) -> bool:
        """Whether it is a plain matrix product at every position."""
        return self.kind.is_product(self.geometry, self.groups)

    def within(self, ops: Mapping[Op, Op]) -> Layer:
        """The same layer in a copy of the int8 graph, given the copy of every op."""
        uses, lookups = (tuple(replace(use, int8_op=ops[use.int8_op]) for use in x) for x in (self.uses, self.lookups))
        elsewhere = tuple(replace(use, op=ops[use.op]) for use in self.elsewhere)
        return replace(self, uses=uses, lookups=lookups, elsewhere=elsewhere)

    def in_graph(self, number: int) -> Layer:
        """The layer as another graph of the file has it: its ops there, of which only those of the twin matter."""
        own = [use for use in self.elsewhere if use.graph == number]
        uses = tuple(Use(o.op, o.op, o.bias, self.site) for o in own if o.lookup is None)
        lookups = tuple(Use(o.op, o.op, o.bias, o.lookup) for o in own if o.lookup is not None)
        return replace(self, uses=uses, lookups=lookups, elsewhere=())

    def reading(self, use: Use) -> Reading:
        """How one of its ops reads its activation."""
        return Reading(self.geometry, self.columns, self.groups, self.kind.out_shape(use.float_op))

    def grouped(self, rows: np.ndarray) -> np.ndarray:
        """Rows (C, d) by the input group they read: (G, C / G, d)."""
        return rows.reshape(self.groups, -1, self.columns)


@dataclass(frozen=True)
class Skipped:
    """An op with constant weights that stays as stock converts it."""

    name: str
    op: str
    reason: str
