"""Capability and cost tables: which operators a target runs fast, and what each costs.

A table is a JSON file, measured by ``tfmpq target``. A row predicts one kind of operator:

    microseconds = fixed + mmacs * (multiplications / 1e6) + kweights * (weights / 1e3) + kruns * (runs / 1e3)
                 + kread * (values read / 1e3) + kwritten * (values written / 1e3)

A run is what an operator copies or computes in one piece: one position of one input. Positions and channels written
count in whole tiles of the kernel where the row has such: 3 channels then cost as much as 16.

A target that nobody measured has no rows of its own: it states what it takes and borrows another's times, see
:mod:`converters.targets.stated`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import mul
from typing import Any

from converters.runtime.interpreter import Kernels
from converters.targets.work import WEIGHT_OPS, Work, work_of
from converters.tflite.graph import Graph

_Key = tuple[str, str, str, str]  # operator, weights, activation, shape class
ANY_OP = "*"  # the row of operators that have none
TERMS: tuple[str, ...] = ("fixed", "mmacs", "kweights", "kruns", "kread", "kwritten")


@dataclass(frozen=True)
class Row:
    """One kind of operator.

    Attributes:
        op, weights, activation, shape: as in :class:`Work`; operator ``*`` stands for every other one.
        delegated: whether the delegate runs it. Where it takes some only, as ``limits`` say, there are two rows.
        tile: (positions, rows) the kernel computes at once.
        microseconds: the coefficients, one a name of ``TERMS``.
        error: mean relative error of the prediction over the operators measured.
        measured: how many those were.
    """

    op: str
    weights: str
    activation: str
    shape: str
    delegated: bool
    tile: tuple[int, int]
    microseconds: Mapping[str, float]
    error: float = 0.0
    measured: int = 0

    def amounts(self, work: Work) -> tuple[float, ...]:
        """What the coefficients are multiplied by, in the order of ``TERMS``."""
        rows = -(-work.rows // self.tile[1]) * self.tile[1] / 1e3
        written = -(-work.positions // self.tile[0]) * self.tile[0] * rows
        weights, runs = rows * work.depth, work.positions * work.inputs / 1e3
        return 1.0, written * work.depth / 1e3, weights, runs, work.read / 1e3, written

    def predict(self, work: Work) -> float:
        """Microseconds."""
        return sum(map(mul, self._coefficients, self.amounts(work)))

    @cached_property
    def _coefficients(self) -> tuple[float, ...]:
        return tuple(self.microseconds[name] for name in TERMS)


@dataclass(frozen=True)
class Limit:
    """What a delegated operator must keep to: ``minimum <= value <= maximum``, a multiple of ``multiple``.

    Attributes:
        op, weights: the operators it holds for.
        of: the attribute of :class:`Work` it speaks of.
        minimum, maximum, multiple: the bounds; ``maximum`` None: none.
    """

    op: str
    weights: str
    of: str
    minimum: int = 1
    maximum: int | None = None
    multiple: int = 1

    def allows(self, work: Work) -> bool:
        """Whether the work keeps to it."""
        value = getattr(work, self.of)
        return self.minimum <= value <= (self.maximum or math.inf) and value % self.multiple == 0


@dataclass(frozen=True)
class Stated:
    """What a target takes that was not measured, by its documents or sources.

    Attributes:
        takes: (operator, type of weights), of int8 activations; "" for operators without weights.
        refused: operators it is known not to have.
        times: name of the table that its times are borrowed from.
        slower: (operator, type of weights) -> its time relative to the same with int8 weights, where that is known.
        source: where this is stated.
        verified: what of it was tried, in words.
    """

    takes: frozenset[tuple[str, str]]
    refused: frozenset[str]
    times: str
    slower: Mapping[tuple[str, str], float]
    source: str
    verified: str

    @property
    def spoken_of(self) -> frozenset[str]:
        """Operators that it says something of."""
        return self.refused | {op for op, _ in self.takes}


@dataclass(frozen=True)
class Target:
    """A runtime on a machine: what it runs fast, and how fast.

    Attributes:
        name: of the table.
        kernels: which kernels of the runtime, see :func:`converters.runtime.interpreter.make_interpreter`.
        rows, limits: the table.
        partition: microseconds a graph loses where an operator that is not delegated interrupts the delegate.
        measured: where, when and how it was measured.
        stated: what it takes and whose times these are; None: its rows say what it takes, and the times are its own.
        hot: whether weights come from caches, as in a loop that reads the same ones in every step. The times are those
            of weights from memory, of which INT4 ones are half; from caches int8 rows take no longer. Steps of LSTM and
            GRU layers of 192 units on an AMD EPYC: INT4 .94 and .98 of int8's time, where memory alone would say .74.
    """

    name: str
    kernels: Kernels
    rows: tuple[Row, ...]
    limits: tuple[Limit, ...] = ()
    partition: float = 0.0
    measured: Mapping[str, Any] = field(default_factory=dict)
    stated: Stated | None = None
    hot: bool = False

    def supports(self, op: str, weights: str, *, activation: str = "INT8") -> bool:
        """Whether the runtime has the operator, delegated or not.

        Args:
            op: operator name.
            weights: type of its weights; ``""``: none.
            activation: type of what it reads. What is stated of a target holds for every type, and what int8
                activations allow for those that were not measured with integer weights at all.
        """
        if self.stated is not None:
            return (op, weights) in self.stated.takes
        measured = any((layer, "INT8", activation) in self._known for layer in WEIGHT_OPS)
        return (op, weights, activation if measured else "INT8") in self._known

    def refuses(self, work: Work) -> bool:
        """Whether it states what it takes, and this is an operator of which it says so and not that one."""
        return self.stated is not None and work.op in self.stated.spoken_of and not self.supports(work.op, work.weights)

    def delegated(self, work: Work) -> bool:
        """Whether the delegate runs it; False for what the table does not know."""
        return _key(work) in self._fast and self._within_limits(work)

    def row(self, work: Work) -> Row:
        """The row that stands for it: its own, else a similar one's, else that of every other operator."""
        own = self._row(_key(work), work)
        if own is not None:
            return own
        op, weights, activation, shape = _key(work)
        types = ((weights, activation), (weights, "INT8"), ("INT8", "INT8")) if weights else ()
        similar = [(op, w, a, s) for w, a in types for s in (shape, "kxk", "1x1")]
        found = (self._row(key, work) for key in (*similar, (ANY_OP, "", activation, "")))
        return next((row for row in found if row is not None), self._slow[ANY_OP, "", "INT8", ""])

    def _row(self, key: _Key, work: Work) -> Row | None:
        fast, slow = self._fast.get(key), self._slow.get(key)
        return fast if slow is None or (fast is not None and self._within_limits(work)) else slow

    def microseconds(self, work: Work) -> float:
        """Predicted time of one operator inside a network on one thread; inf for INT4 weights it does not support."""
        if self.hot and work.weights == "INT8":
            return min(self._from_memory(work), self._from_memory(replace(work, weights="INT4")))
        return self._from_memory(work)

    def _from_memory(self, work: Work) -> float:
        if work.weights == "INT4" and not self.supports(work.op, work.weights, activation=work.activation):
            return math.inf
        row = self.row(work)
        return row.predict(work) + (0.0 if row.delegated else self.partition)

    def _within_limits(self, work: Work) -> bool:
        return all(limit.allows(work) for limit in self._limits.get((work.op, work.weights), ()))

    @cached_property
    def _known(self) -> frozenset[tuple[str, str, str]]:
        return frozenset((row.op, row.weights, row.activation) for row in self.rows)

    @cached_property
    def _fast(self) -> dict[_Key, Row]:
        return {_key(row): row for row in self.rows if row.delegated}

    @cached_property
    def _slow(self) -> dict[_Key, Row]:
        return {_key(row): row for row in self.rows if not row.delegated}

    @cached_property
    def _limits(self) -> dict[tuple[str, str], list[Limit]]:
        kinds = {(limit.op, limit.weights) for limit in self.limits}
        return {kind: [limit for limit in self.limits if (limit.op, limit.weights) == kind] for kind in kinds}


def _key(item: Row | Work) -> _Key:
    return item.op, item.weights, item.activation, item.shape


def predict(graph: Graph, target: Target) -> float:
    """Microseconds of a whole graph on one thread: the sum over its operators."""
    return sum(target.microseconds(work_of(op)) for op in graph.ops)
