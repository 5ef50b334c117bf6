"""Cost tables against measurements, against the interpreter, and against themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import Kernels, make_interpreter
from converters.targets import (
    Limit,
    Row,
    Target,
    Work,
    add_work,
    concat_work,
    dense_work,
    gather_work,
    load_target,
    predict,
    slice_work,
    target_names,
    work_of,
)
from converters.targets.files import MEASURED
from converters.targets.table import TERMS
from converters.tflite.graph import Graph
from tfmpq.target.grid import cases, floating
from tfmpq.target.models import Case, file_of, layer
from tfmpq.target.operators import plain

KERNELS: tuple[Kernels, ...] = ("xnnpack", "builtin")


def test_the_tables_that_come_with_the_package():
    assert target_names() == ("builtin", "mtk", "openvino", "qnn", "xnnpack")
    for name in MEASURED:
        target = load_target(name)
        assert (target.name, target.kernels) == (name, name)
        assert {"machine", "flags", "runtime", "date", "command", "threads"} <= set(target.measured)
        # What the lowerings weigh must be predicted well: a plan is made within 2 % of stock.
        for weights in ("INT8", "INT4"):
            for shape in ("1x1", "dense"):
                row = target.row(Work("FULLY_CONNECTED", weights, "INT8", shape, 4, 4, 4, 4))
                assert row.error < 0.15
                assert row.measured >= 15
    assert load_target("xnnpack").partition > 0
    assert load_target("builtin").partition == 0


@pytest.mark.parametrize("name", MEASURED)
def test_every_op_the_lowerings_write_has_a_row_of_its_own(name: str):
    target = load_target(name)
    written = [add_work(positions=4, channels=8), concat_work(positions=4, channels=8)]
    written += [gather_work(positions=4, channels=8), slice_work(positions=4, channels=8, rows=2)]
    for case in cases():
        if case.work.activation == "INT8" and case.work.weights:
            written.append(case.work)
    assert len({(w.op, w.weights, w.shape) for w in written}) >= 20
    for work in written:
        row = target.row(work)
        assert (row.op, row.weights, row.activation, row.shape) == (work.op, work.weights, "INT8", work.shape)
        assert 0 < target.microseconds(work) < 1e6


def test_what_has_no_row():
    target = load_target("xnnpack")
    unknown = Work("FFT", "", "INT8", "", 10, 10, 0, 100)
    assert target.row(unknown).op == "*"
    assert not target.delegated(unknown)
    assert target.microseconds(unknown) == target.row(unknown).predict(unknown) + target.partition
    assert target.row(Work("ADD", "", "INT16", "", 10, 10, 0, 100)).op == "*"
    # The nearest relative counts where multiplications would be forgotten otherwise.
    wide = target.row(Work("CONV_2D", "INT8", "INT16", "strided", 10, 10, 90, 100))
    assert (wide.op, wide.activation, wide.shape) == ("CONV_2D", "INT8", "strided")
    assert not target.delegated(Work("CONV_2D", "INT8", "INT16", "strided", 10, 10, 90, 100))
    grouped = target.row(Work("CONV_2D", "INT4", "INT8", "grouped", 10, 10, 90, 100))
    assert (grouped.op, grouped.weights, grouped.shape) == ("CONV_2D", "INT4", "kxk")
    assert [target.supports("FULLY_CONNECTED", w) for w in ("INT8", "INT4", "INT2")] == [True, True, False]


def test_int4_weights_count_with_the_activations_they_were_measured_with():
    target = load_target("xnnpack")
    for activation in ("INT8", "FLOAT32"):
        assert target.supports("FULLY_CONNECTED", "INT4", activation=activation)
        assert target.supports("CONV_2D", "INT4", activation=activation)
    # The kernels fail to run it beside float activations.
    assert target.supports("DEPTHWISE_CONV_2D", "INT4")
    assert not target.supports("DEPTHWISE_CONV_2D", "INT4", activation="FLOAT32")
    assert math.isinf(target.microseconds(Work("DEPTHWISE_CONV_2D", "INT4", "FLOAT32", "kxk", 4, 8, 9, 32)))
    for activation, delegated in (("INT8", True), ("FLOAT32", False)):
        assert target.delegated(Work("DEPTHWISE_CONV_2D", "INT8", activation, "kxk", 4, 8, 9, 32)) is delegated


def test_a_table_without_float_activations_takes_them_for_int8_ones():
    target = load_target("xnnpack")
    rows = (r for r in target.rows if r.activation == "INT8" or not r.weights.startswith("INT"))
    older = replace(target, rows=tuple(rows))
    assert older.supports("FULLY_CONNECTED", "INT4", activation="FLOAT32")
    work = dense_work(positions=4, columns=8, rows=8, weights="INT4", activation="FLOAT32")
    assert older.microseconds(work) == older.microseconds(replace(work, activation="INT8"))


@pytest.mark.parametrize("name", MEASURED)
def test_integer_weights_beside_float_activations_have_rows_of_their_own(name: str):
    target = load_target(name)
    for case in floating():
        row = target.row(case.work)
        assert (row.op, row.weights, row.activation, row.shape) == (
            case.work.op,
            case.work.weights,
            "FLOAT32",
            case.work.shape,
        )


@given(
    name=st.sampled_from(target_names()),
    weights=st.sampled_from(["INT8", "INT4"]),
    size=st.integers(1, 60),
    columns=st.integers(1, 500),
    rows=st.integers(2, 1200),
    more=st.sampled_from(["positions", "columns", "rows"]),
    by=st.integers(1, 200),
)
@settings(max_examples=200, deadline=None)
def test_more_work_never_costs_less(name: str, weights: str, size: int, columns: int, rows: int, more: str, by: int):
    target = load_target(name)
    amounts: dict[str, Any] = {
        "positions": size + 1,
        "columns": 2 * columns,
        "rows": rows,
    }  # INT4 wants an even number of inputs
    larger = {**amounts, more: amounts[more] + 2 * by}
    for as_conv in (False, True) if weights == "INT8" else (False,):
        first, second = (
            target.microseconds(dense_work(**a, weights=weights, as_conv=as_conv)) for a in (amounts, larger)
        )
        assert 0 < first <= second + 1e-9


def test_the_cost_of_a_row():
    terms = dict(zip(TERMS, (1.0, 10.0, 100.0, 1000.0, 1e4, 1e5), strict=True))
    row = Row("FULLY_CONNECTED", "INT8", "INT8", "1x1", True, (4, 8), terms)
    work = dense_work(positions=5, columns=20, rows=9, weights="INT8")
    # 5 positions count as 8, 9 rows as 16.
    assert row.amounts(work) == pytest.approx((1, 8 * 16 * 20 / 1e6, 16 * 20 / 1e3, 5 / 1e3, 100 / 1e3, 128 / 1e3))
    assert row.predict(work) == pytest.approx(1 + 0.0256 + 32 + 5 + 1000 + 12800)


def test_a_graph_costs_the_sum_of_its_ops():
    target = load_target("xnnpack")
    first, second = plain("ADD", 7, 8).op, layer("conv", 7, 8, 16).op
    graph = Graph([], [], [first, second, first])
    total = 2 * target.microseconds(work_of(first)) + target.microseconds(work_of(second))
    assert predict(graph, target) == pytest.approx(total)


# Split form (int8 rows, INT4 rows, CONCATENATION) over one int8 op, measured like the table and on its machine:
# side by side so often that weights are cold, fastest of many runs. (positions, columns, rows, int8 rows): ratio
_MEASURED = {
    (12544, 24, 48, 12): 2.00,
    (3136, 96, 96, 24): 1.41,
    (784, 192, 192, 48): 1.15,
    (196, 384, 384, 96): 1.11,
    (196, 96, 576, 144): 1.17,
    (196, 576, 96, 24): 1.25,
    (49, 768, 768, 38): 1.05,
    (49, 960, 320, 80): 1.04,
    (1, 768, 1000, 50): 0.53,
    (1, 1280, 1000, 500): 0.74,
}


@pytest.mark.parametrize(("layer_", "ratio"), _MEASURED.items())
def test_split_layers_are_predicted(layer_: tuple[int, int, int, int], ratio: float):
    """Within 12 %: the rows' own errors are 2-5 % of each of the four operators. A new table needs new ratios."""
    positions, columns, rows, high = layer_
    target = load_target("xnnpack")

    def dense(count: int, weights: str, *, as_conv: bool = False) -> float:
        work = dense_work(positions=positions, columns=columns, rows=count, weights=weights, as_conv=as_conv)
        return target.microseconds(work)

    split = dense(high, "INT8") + dense(rows - high, "INT4")
    split += target.microseconds(concat_work(positions=positions, channels=rows))
    assert split / dense(rows, "INT8", as_conv=positions > 1) == pytest.approx(ratio, rel=0.12)


def _smallest() -> list[Case]:
    """Of every kind of operator that is measured the smallest, the kinds with limits on both sides of them."""
    found: dict[object, Case] = {}
    for case in cases():
        work = case.work
        kind = (work.op, work.weights, work.activation, work.shape, work.depth % 2, work.inputs, work.symmetric)
        size = work.values + work.rows * work.depth
        if kind not in found or size < found[kind].work.values + found[kind].work.rows * found[kind].work.depth:
            found[kind] = case
    return list(found.values())


@pytest.mark.parametrize("kernels", KERNELS)
def test_delegated_as_the_table_says(kernels: Kernels):
    target = load_target(kernels)
    smallest = _smallest()
    said, true = {}, {}
    for case in smallest:
        said[case.work] = target.delegated(case.work)
        true[case.work] = not delegate_coverage(make_interpreter(file_of(case, 2), kernels=kernels)).left
    assert said == true
    assert {(r.op, r.weights, r.activation, r.shape) for r in target.rows if r.op != "*"} == {
        (w.op, w.weights, w.activation, w.shape) for w in said
    }
    assert sum(said.values()) == (0 if kernels == "builtin" else sum(true.values()))
    assert kernels == "builtin" or 30 < sum(said.values()) < len(said) - 10


def test_limits_are_kept_to():
    limit = Limit("CONCATENATION", "", "inputs", minimum=2, maximum=5)
    assert [limit.allows(concat_work(positions=1, channels=8, inputs=n)) for n in (1, 2, 5, 6)] == [0, 1, 1, 0]
    even = Limit("FULLY_CONNECTED", "INT4", "depth", multiple=2)
    assert [even.allows(dense_work(positions=1, columns=n, rows=2, weights="INT4")) for n in (3, 4)] == [False, True]
    target = Target("mine", "xnnpack", load_target("xnnpack").rows, (limit,))
    assert not target.delegated(concat_work(positions=4, channels=8, inputs=6))


def test_weights_in_caches():
    """From a cache int8 rows take no longer than INT4 ones, which come from memory faster; the rest takes its time."""
    target = load_target("xnnpack")
    hot = replace(target, hot=True)
    int8 = dense_work(positions=1, columns=512, rows=1024, weights="INT8")
    int4 = dense_work(positions=1, columns=512, rows=1024, weights="INT4")
    assert target.microseconds(int4) < target.microseconds(int8)
    assert hot.microseconds(int8) == hot.microseconds(int4) == target.microseconds(int4)
    other = concat_work(positions=1, channels=1024)
    assert hot.microseconds(other) == target.microseconds(other)
    few = dense_work(positions=64, columns=16, rows=16, weights="INT8")  # which INT4 kernels take longer for
    assert hot.microseconds(few) <= target.microseconds(few)
