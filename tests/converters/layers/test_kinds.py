"""Kinds of layers: a new one is a class and a row in the registry, and an operator may hold several weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from converters.layers import kinds
from converters.layers.find import find_layers
from converters.layers.im2col import Geometry
from converters.layers.kinds import KINDS, Site, WeightKind, kind_of, register_kind, weights_of
from converters.layers.kinds.kind import SpatialWork
from converters.targets import work_of
from converters.tflite.graph import BuiltinOperator, Graph, Op, Quantization, Tensor, TensorType


class Cell(WeightKind):
    """A toy: an operator with a weight for its input and one for its state, and no bias, as recurrent cells have."""

    name = "cell"
    code = BuiltinOperator.RNN
    sites = (Site(0, 1, None), Site(3, 2, None))

    def geometry(self, op: Op, shape: Sequence[int]) -> Geometry:
        return Geometry()

    def work(self, op: Op, shape: Sequence[int], source: Tensor, positions: int) -> SpatialWork:
        return SpatialWork("dense", positions)


@pytest.fixture
def cell() -> Iterator[WeightKind]:
    kind = Cell()
    register_kind(kind)
    yield kind
    del KINDS[kind.name], kinds._BY_CODE[kind.code]


def graph_of(type_: int) -> Graph:
    """One cell: x (1, 4), a state (1, 3), weights (3, 4) and (3, 3)."""
    scale = Quantization(np.full(3, 0.5, np.float32), np.zeros(3, np.int64))

    def constant(name: str, columns: int) -> Tensor:
        values = np.arange(3 * columns).reshape(3, columns) - 4
        stored = values.astype(np.int8) if type_ == TensorType.INT8 else (values * 0.5).astype(np.float32)
        return Tensor(name, (3, columns), type_, stored.tobytes(), scale if type_ == TensorType.INT8 else None)

    x, state, y = (Tensor(name, (1, n), type_) for name, n in (("x", 4), ("state", 3), ("y", 3)))
    inputs: list[Tensor | None] = [x, constant("net/cell/input", 4), constant("net/cell/state", 3), state]
    return Graph([x, state], [y], [Op(BuiltinOperator.RNN, inputs, [y])])


def test_an_operator_of_several_weights_is_several_layers(cell: WeightKind):
    floats, integers = graph_of(TensorType.FLOAT32), graph_of(TensorType.INT8)
    assert kind_of(floats.ops[0]) is cell
    assert [t.name for t in weights_of(floats.ops[0])] == ["net/cell/input", "net/cell/state"]
    layers, skipped = find_layers(floats, integers)
    assert skipped == []
    assert [(x.name, x.kind, x.weight.shape, x.site) for x in layers] == [
        ("net/cell:cell", cell, (3, 4), cell.sites[0]),
        ("net/cell:cell:2", cell, (3, 3), cell.sites[1]),
    ]
    assert [x.uses[0].float_input.name for x in layers] == ["x", "state"]
    assert not layers[0].uses[0].bias.any()  # it has none
    np.testing.assert_array_equal(layers[1].weight, (np.arange(9).reshape(3, 3) - 4) * 0.5)
    assert work_of(integers.ops[0]).weights == "INT8"


def test_operators_of_no_kind_have_no_weights():
    op = Op(BuiltinOperator.RNN, [None, None], [])
    assert kind_of(op) is None
    assert weights_of(op) == []


@pytest.mark.parametrize("kind", [k for k in KINDS.values() if k.code != BuiltinOperator.RNN], ids=repr)
def test_corrupt_operators_without_their_weight_have_none(kind: WeightKind):
    assert weights_of(Op(kind.code, [Tensor("x", (1,), TensorType.INT8)], [])) == []
