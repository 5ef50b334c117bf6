"""A table that a dense layer multiplies with too stays one tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import LoweringError
from converters.layers.channel_groups import channel_groups
from converters.layers.kinds import DENSE
from converters.layers.permutation import permute_graph
from converters.lowering.form import Request, segments_of
from converters.lowering.forms import only_form
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.tied import Tied, lower_tied
from converters.points import MultipointWeight, Point
from converters.targets import load_target
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import KERNELS
from tests.support.table_nets import ROWS, float_table, gather_model, looked_up, some_ids, table_layer
from tfmpq.algorithms.assembly import assemble
from tfmpq.algorithms.problem import Problem
from tfmpq.algorithms.radix import quantize_radix


def _points(counts: np.ndarray) -> MultipointWeight:
    rows = float_table().astype(np.float64)[None]
    problem = Problem(rows, np.ones((1, rows.shape[2])), 4, np.zeros(rows.shape[:2]), lowest=False)
    return assemble(quantize_radix(problem, 2), counts, 4)


def test_it_is_found_as_one_layer():
    _, layer = table_layer(gather_model(float_table(), tied=True))
    assert layer.kind is DENSE
    assert len(layer.uses) == len(layer.lookups) == 1
    assert isinstance(only_form(layer), Tied)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("points", [1, 2])
def test_both_read_the_same_rows(points: int, kernels: Any):
    model = gather_model(float_table(), tied=True)
    base, layer = table_layer(model)
    weight = _points(np.full(ROWS, points))
    lowered = lower_tied(QuantizedLayer(layer, weight, (layer.uses[0].bias,)))
    content = save(base)
    file = load(content)
    lookup, dense = (op for op in file.graph.ops if op.name in ("EMBEDDING_LOOKUP", "FULLY_CONNECTED"))
    assert lookup.input(1) is dense.input(1)
    assert lookup.input(1).type == (TensorType.INT4 if points == 1 else TensorType.INT8)
    assert lookup.version == (3 if points == 1 else 4)
    np.testing.assert_array_equal(dense.input(1).array(), lowered.weights[0].codes)
    ids, real = some_ids(model, ROWS), weight.reconstruct()
    rows = real[ids]
    # The kernels round the rows they multiply to 8 bits: 1 / 255 of a row's span in each of 16 inputs.
    span = np.ptp(rows, axis=-1).max()
    tolerance = span / 255 * np.abs(real).sum(axis=1).max()
    np.testing.assert_allclose(looked_up(content, ids, kernels), rows @ real.T, rtol=0, atol=tolerance)


def test_points_that_do_not_merge_are_refused():
    base, layer = table_layer(gather_model(float_table(), tied=True))
    codes, ones = np.ones(layer.weight.shape, np.int8), np.ones(ROWS, np.float32)
    points = (Point(codes, ones), Point(codes, ones * np.float32(0.3)))
    weight = MultipointWeight(points, np.full(ROWS, 2), 4)
    with pytest.raises(LoweringError, match="must be int8 rows together"):
        lower_tied(QuantizedLayer(layer, weight, (layer.uses[0].bias,)))
    assert base.graph.ops  # as it was


def test_all_rows_have_as_many_points():
    _, layer = table_layer(gather_model(float_table(), tied=True))
    form, target = only_form(layer), load_target("xnnpack")
    assert form is not None
    mixed = np.ones(ROWS, np.int64)
    mixed[3] = 2
    assert "apart" in str(form.refuses(Request(layer, segments_of(mixed), 4, True)))
    one, two = (form.cost(Request(layer, segments_of(np.full(ROWS, n)), 4, True), target) for n in (1, 2))
    assert two.bytes - one.bytes == ROWS * layer.columns / 2


def test_the_order_of_its_columns_may_change_for_both():
    model = gather_model(float_table(), tied=True)
    base, layer = table_layer(model)
    ids = some_ids(model, ROWS)
    before = looked_up(save(base), ids)
    groups = channel_groups(base.graph)
    (columns,) = groups[layer.uses[0].int8_input]
    (rows,) = groups[base.graph.outputs[0]]
    assert columns.frozen is None
    assert rows.frozen is not None
    order = np.random.default_rng(0).permutation(columns.size)
    permute_graph(base.graph, groups, {columns: order})
    weight = layer.uses[0].int8_op.input(1)
    assert weight is layer.lookups[0].int8_op.input(1)
    # Integer products in another order are the same; 1e-6: the scale of a row is taken once more in float32.
    np.testing.assert_allclose(looked_up(save(base), ids), before, rtol=1e-6, atol=1e-5)


def test_codes_that_some_kernels_misread_stand_as_int8():
    base, layer = table_layer(gather_model(float_table(), tied=True))
    codes = np.zeros(layer.weight.shape, np.int8)
    codes[3, 4] = -8
    weight = MultipointWeight((Point(codes, np.ones(ROWS, np.float32)),), np.ones(ROWS, np.int64), 4)
    lower_tied(QuantizedLayer(layer, weight, (layer.uses[0].bias,)))
    (dense,) = (op for op in load(save(base)).graph.ops if op.name == "FULLY_CONNECTED")
    assert dense.input(1).type == TensorType.INT8
