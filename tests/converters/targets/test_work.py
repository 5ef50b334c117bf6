"""Amounts of work, of operators and of planned ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.targets import Work, add_work, concat_work, dense_work, gather_work, slice_work, with_rows, work_of
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType
from tests.support.op_models import activation, add_op, concat_op, layer_op, weight
from tfmpq.target.models import layer
from tfmpq.target.operators import plain, product


def x(*shape: int) -> Tensor:
    return activation("x", shape, 0.1, 0)


def y(*shape: int) -> Tensor:
    return activation("y", shape, 0.1, 0)


def codes(*shape: int, int4: bool = False, kind: Any = "conv") -> Tensor:
    return weight("w", kind, np.ones(shape, int), np.ones(shape[3 if kind == "depthwise" else 0]), int4=int4)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (
            layer_op("conv", x(1, 8, 6, 16), codes(4, 1, 1, 16), None, y(1, 8, 6, 4)),
            Work("CONV_2D", "INT8", "INT8", "1x1", 48, 4, 16, 768),
        ),
        (
            layer_op("conv", x(1, 1, 1, 16), codes(4, 1, 1, 16, int4=True), None, y(1, 1, 1, 4)),
            Work("CONV_2D", "INT4", "INT8", "dense", 1, 4, 16, 16),
        ),
        (
            layer_op("conv", x(1, 8, 8, 16), codes(4, 1, 1, 16), None, y(1, 4, 4, 4), stride=(2, 2)),
            Work("CONV_2D", "INT8", "INT8", "strided", 16, 4, 16, 1024),
        ),
        (
            layer_op("conv", x(1, 8, 8, 16), codes(4, 3, 5, 16), None, y(1, 6, 4, 4)),
            Work("CONV_2D", "INT8", "INT8", "kxk", 24, 4, 240, 1024),
        ),
        (
            layer_op("conv", x(1, 8, 8, 16), codes(8, 3, 3, 4), None, y(1, 6, 6, 8)),
            Work("CONV_2D", "INT8", "INT8", "grouped", 36, 8, 36, 1024),
        ),
        (
            layer_op("depthwise", x(1, 8, 8, 4), codes(1, 3, 3, 8, kind="depthwise"), None, y(1, 6, 6, 8)),
            Work("DEPTHWISE_CONV_2D", "INT8", "INT8", "kxk", 36, 8, 9, 256),
        ),
        (
            layer_op("dense", x(1, 32), codes(10, 32, int4=True, kind="dense"), None, y(1, 10)),
            Work("FULLY_CONNECTED", "INT4", "INT8", "dense", 1, 10, 32, 32),
        ),
        (
            layer_op("dense", x(1, 4, 4, 32), codes(10, 32, kind="dense"), None, y(1, 4, 4, 10), keep_dims=True),
            Work("FULLY_CONNECTED", "INT8", "INT8", "1x1", 16, 10, 32, 512),
        ),
        (  # 4x4 input positions, each times 5 * 2 * 2 weights a channel
            layer_op("transpose_conv", x(1, 4, 4, 5), codes(3, 2, 2, 5), None, y(1, 8, 8, 3), stride=(2, 2)),
            Work("TRANSPOSE_CONV", "INT8", "INT8", "strided", 64, 3, 5.0, 80),
        ),
        (add_op(x(1, 4, 4, 8), y(1, 4, 4, 8), y(1, 4, 4, 8)), Work("ADD", "", "INT8", "", 16, 8, 0, 256, 2)),
        (plain("SPLIT", 4, 8, pieces=4).op, Work("SPLIT", "", "INT8", "", 64, 2, 0, 128)),
        (product(4, 64, 16, 32).op, Work("BATCH_MATMUL", "", "INT8", "", 256, 32, 16, 6144, 2)),
        (product(1, 8, 4, 2, zero_point=-3).op, Work("BATCH_MATMUL", "", "INT8", "", 8, 2, 4, 40, 2, symmetric=0)),
        (Op(0, [], []), Work("ADD", "", "", "", 0, 1, 0, 0, 0)),
    ],
)
def test_work_of(op: Op, expected: Work):
    assert work_of(op) == expected


def test_amounts_of_work():
    work = work_of(layer_op("conv", x(1, 8, 8, 16), codes(4, 3, 3, 16), None, y(1, 6, 6, 4)))
    assert (work.macs, work.written, work.values) == (36 * 4 * 144, 144, 1024 + 144)


def test_planned_work_is_that_of_the_op_it_stands_for():
    for int4, name in ((False, "INT8"), (True, "INT4")):
        for shape in ((1, 7, 7, 16), (1, 16)):
            out, count = y(*shape[:-1], 10), 49 if len(shape) == 4 else 1
            op = layer_op("dense", x(*shape), codes(10, 16, int4=int4, kind="dense"), None, out)
            assert dense_work(positions=count, columns=16, rows=10, weights=name) == work_of(op)
    conv = layer_op("conv", x(1, 7, 7, 16), codes(10, 1, 1, 16), None, y(1, 7, 7, 10))
    assert dense_work(positions=49, columns=16, rows=10, weights="INT8", as_conv=True) == work_of(conv)
    parts = [x(1, 7, 7, 3), x(1, 7, 7, 5), x(1, 7, 7, 2)]
    assert concat_work(positions=49, channels=10, inputs=3) == work_of(concat_op(parts, y(1, 7, 7, 10), axis=3))
    assert add_work(positions=49, channels=8) == work_of(plain("ADD", 7, 8).op)
    assert gather_work(positions=49, channels=8) == work_of(plain("GATHER", 7, 8).op)
    assert slice_work(positions=49, channels=8, rows=4) == work_of(plain("SLICE", 7, 8).op)


def test_with_rows():
    for kind in ("conv", "dense"):
        whole, part = (work_of(layer(kind, 7, 16, rows).op) for rows in (10, 3))
        assert with_rows(whole, 3) == part
    whole, part = (work_of(layer("depthwise", 7, rows, rows, kernel=3).op) for rows in (10, 3))
    assert with_rows(whole, 3) == part  # it reads fewer channels too


def test_a_gather_reads_what_it_picks():
    """One row of a sequence, as a loop takes it at each step, whatever the sequence's length."""
    source = Tensor("x", (500, 1, 8), TensorType.FLOAT32)
    op = Op(
        BuiltinOperator.GATHER, [source, Tensor("i", (), TensorType.INT32)], [Tensor("y", (1, 8), TensorType.FLOAT32)]
    )
    assert work_of(op).read == 8
