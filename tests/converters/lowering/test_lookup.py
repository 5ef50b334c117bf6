"""Tables of points: the integers in the file, what the kernels make of them, and which form is taken when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.layers.kinds import EMBEDDING
from converters.layers.layer import Layer
from converters.lowering.form import Request, segments_of
from converters.lowering.forms import only_form
from converters.lowering.lookup import Lookup, lower_lookup, map_bytes
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import LoweredLayer
from converters.points import MultipointWeight, merge
from converters.reference.dynamic_comparison import compare_dynamic
from converters.reference.id_ops import run_id_op
from converters.runtime.activations import make_reader
from converters.targets import load_target
from converters.tflite.graph import Model, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import KERNELS
from tests.support.table_nets import ROWS, float_table, gather_model, looked_up, some_ids, table_layer
from tfmpq.algorithms.assembly import assemble
from tfmpq.algorithms.problem import Problem
from tfmpq.algorithms.radix import quantize_radix


def _points(layer: Layer, counts: np.ndarray, bits: int = 4) -> MultipointWeight:
    rows = layer.weight.astype(np.float64)[None]
    problem = Problem(rows, np.ones((1, layer.columns)), bits, np.zeros(rows.shape[:2]))
    return assemble(quantize_radix(problem, int(counts.max())), counts, bits)


def _lowered(model: Model, counts: np.ndarray, bits: int = 4) -> tuple[bytes, MultipointWeight, LoweredLayer, Layer]:
    base, layer = table_layer(model)
    weight = _points(layer, counts, bits)
    biases = tuple(use.bias for use in layer.uses)
    lowered = lower_lookup(base.graph, QuantizedLayer(layer, weight, biases))
    return save(base), weight, lowered, layer


def _tables(file: Model) -> list[Tensor]:
    return [op.input(1) for op in file.graph.ops if op.code == EMBEDDING.code]


def _merged(weight: MultipointWeight) -> np.ndarray:
    row = merge(weight)
    assert row is not None
    return row.codes


def _counts(*several: int, rows: int = ROWS) -> np.ndarray:
    counts = np.ones(rows, np.int64)
    counts[list(several)] = 2
    return counts


CASES = {
    "one point": (_counts(), ["rows"], [TensorType.INT4]),
    "all points": (_counts(*range(ROWS)), ["rows"], [TensorType.INT8]),
    "some": (_counts(3, 40, 89), ["rows", "rows1"], [TensorType.INT4] * 2),
    "one row": (_counts(70), ["rows", "rows1"], [TensorType.INT4] * 2),
    "the first": (_counts(0, 1, 2, 3), ["rows", "rows1"], [TensorType.INT4] * 2),
}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_the_file_holds_the_points_and_gives_their_sums(case: str, kernels: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("converters.lowering.lookup.OP_BYTES", 0)  # of small tables operators are most
    counts, names, types = CASES[case]
    model = gather_model(float_table())
    content, weight, lowered, _ = _lowered(model, counts)
    file = load(content)
    tables = {table.name: table for table in _tables(file)}
    assert [name.removeprefix("net/tok/").split("/")[-1] for name in tables] == names
    assert [t.type for t in tables.values()] == types
    for emitted in lowered.weights:
        stored = tables[emitted.tensor]
        np.testing.assert_array_equal(stored.array(), emitted.codes)
        assert stored.quantization is not None
        np.testing.assert_array_equal(stored.quantization.scale, emitted.scale)
        assert stored.quantization.axis == 0
        assert not stored.quantization.zero_point.any()
    if types == [TensorType.INT8]:
        np.testing.assert_array_equal(lowered.weights[0].codes, _merged(weight))
    else:
        np.testing.assert_array_equal(lowered.weights[0].codes, weight.points[0].codes)
    ids = some_ids(model, ROWS)
    # Two float32 products and their sum: each is off by half a unit in its last place at most.
    np.testing.assert_allclose(looked_up(content, ids, kernels), weight.reconstruct()[ids], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("case", ["some", "the first"])
def test_every_operator_is_as_the_reference_says(case: str, kernels: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("converters.lowering.lookup.OP_BYTES", 0)
    model = gather_model(float_table())
    content, _, lowered, _ = _lowered(model, CASES[case][0])
    file = load(content)
    ops = [op for op in file.graph.ops if op.outputs[0].name in lowered.outputs]
    # Two lookups, what makes ids of the second, and a sum.
    assert len(ops) == len(lowered.outputs) == (5 if case == "some" else 4)
    assert {op.name for op in ops} >= {"GATHER" if case == "some" else "MINIMUM", "ADD"}
    values = make_reader(content, file, ops, kernels=kernels)({"ids": some_ids(model, ROWS)})
    for op in ops:
        if op.outputs[0].type == TensorType.FLOAT32:
            assert compare_dynamic(op, values, kernels).ratio <= 1
        else:
            (expected,) = run_id_op(op, [None if t is None else values.get(t) for t in op.inputs])
            np.testing.assert_array_equal(values[op.outputs[0]], expected)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_other_bits(bits: int):
    model = gather_model(float_table())
    content, weight, _, _ = _lowered(model, np.ones(ROWS, np.int64), bits)
    (table,) = _tables(load(content))
    assert table.type == (TensorType.INT8 if bits == 5 else TensorType.INT4)
    ids = some_ids(model, ROWS)
    np.testing.assert_array_equal(looked_up(content, ids), weight.reconstruct(np.float32)[ids])


def test_rows_of_odd_length_are_int8():
    model = gather_model(float_table(columns=15))  # the kernel reads INT4 rows of odd length wrongly
    content, weight, _, _ = _lowered(model, np.ones(ROWS, np.int64))
    (table,) = _tables(load(content))
    assert table.type == TensorType.INT8
    ids = some_ids(model, ROWS)
    np.testing.assert_array_equal(looked_up(content, ids), weight.reconstruct(np.float32)[ids])


@pytest.mark.parametrize(("bits", "version"), [(4, 3), (8, 4)])
def test_runtimes_that_read_one_scale_for_all_int8_rows_refuse_the_file(bits: int, version: int):
    content, *_ = _lowered(gather_model(float_table()), np.ones(ROWS, np.int64), bits)
    lookups = [op for op in load(content).graph.ops if op.name == "EMBEDDING_LOOKUP"]
    assert [op.version for op in lookups] == [version]  # TensorFlow Lite 2.17 knows 3, and refuses INT4 when it runs


def test_ids_beyond_the_table_fail_as_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("converters.lowering.lookup.OP_BYTES", 0)
    model = gather_model(float_table())
    for counts, _, _ in CASES.values():
        content, *_ = _lowered(model, counts)
        for beyond in (ROWS, -1):
            ids = some_ids(model, ROWS)
            ids[0, 3] = beyond
            with pytest.raises(Exception, match=r"out of bounds|EMBEDDING_LOOKUP|GATHER"):
                looked_up(content, ids)


def test_few_rows_are_not_worth_a_second_table():
    counts = _counts(3, 40)  # 90 rows of 16: a map and two operators are more than int8 rows
    content, weight, lowered, layer = _lowered(gather_model(float_table()), counts)
    assert [e.tensor for e in lowered.weights] == [f"{layer.name}/rows"]
    np.testing.assert_array_equal(lowered.weights[0].codes, _merged(weight))
    assert content == _lowered(gather_model(float_table()), counts)[0]  # the same at any time


def test_costs_are_those_of_the_file():
    target, form = load_target("xnnpack"), Lookup()
    _, layer = table_layer(gather_model(float_table(rows=4000)))
    assert isinstance(only_form(layer), Lookup)

    def cost(counts: np.ndarray, *, in_place: bool = False):
        return form.cost(Request(layer, segments_of(counts), 4, True, in_place=in_place), target)

    one, some, every = (cost(_counts(*range(n), rows=4000)) for n in (0, 200, 4000))
    prefix = cost(_counts(*range(200), rows=4000), in_place=True)
    assert one.bytes < prefix.bytes < some.bytes < every.bytes
    assert some.bytes - prefix.bytes == 4000  # the map: 200 rows have numbers of a byte
    assert one.microseconds < some.microseconds
    assert one.microseconds < every.microseconds
    for counts, predicted in ((_counts(rows=4000), one), (_counts(*range(1, 201), rows=4000), some)):
        content, *_ = _lowered(gather_model(float_table(rows=4000)), counts)
        # 2 kB: the operators and tensors of so small a file, which the cost counts for those beyond the first only.
        assert abs(len(content) - predicted.bytes) < 2000


@pytest.mark.parametrize(("several", "type_"), [(255, TensorType.UINT8), (256, TensorType.INT16)])
@pytest.mark.parametrize("kernels", KERNELS)
def test_maps_are_as_short_as_can_be(several: int, type_: int, kernels: Any):
    counts = np.ones(2000, np.int64)
    counts[-several:] = 2
    model = gather_model(float_table(rows=2000))
    content, weight, lowered, _ = _lowered(model, counts)
    (gather,) = (op for op in load(content).graph.ops if op.name == "GATHER")
    assert gather.input(0).type == type_
    assert len(lowered.weights) == 2
    ids = some_ids(model, 2000)
    ids[0, 1:4] = 1999 - several, 2000 - several, 1998  # the last without, the first with a second point
    # Two float32 products and their sum: each is off by half a unit in its last place at most.
    np.testing.assert_allclose(looked_up(content, ids, kernels), weight.reconstruct()[ids], rtol=2e-6, atol=1e-7)


def test_more_rows_than_two_bytes_count():
    assert [map_bytes(n) for n in (1, 255, 256, 32_767, 32_768)] == [1, 1, 2, 2, 4]


@pytest.mark.parametrize("kernels", KERNELS)
def test_more_points_are_further_tables(kernels: Any):
    counts = np.ones(2000, np.int64)
    counts[[5, 900]], counts[[7, 1999]], counts[1000] = 2, 3, 4
    model = gather_model(float_table(rows=2000))
    content, weight, lowered, _ = _lowered(model, counts, bits=2)
    assert [len(e.codes) for e in lowered.weights] == [2000, 6, 4, 2]
    ids = np.array([[5, 900, 7, 1999, 1000, 0, 1]], np.int32)
    # Four float32 products and three sums: each is off by half a unit in its last place at most.
    np.testing.assert_allclose(looked_up(content, ids, kernels), weight.reconstruct()[ids], rtol=2e-6, atol=1e-6)
