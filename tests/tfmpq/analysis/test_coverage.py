"""Every reason of the table is asked of the runtime: what it explains is left out, and its neighbour is taken."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import FileFormatError
from converters.frontend.dynamic_file import dynamic_file
from converters.rewriting.lookups import with_lookups
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import make_interpreter
from converters.tflite.graph import BuiltinOperator, Op
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support import delegate_cases as cases
from tests.support.op_models import add_op, file_of, integers
from tests.support.pipeline import residual
from tests.support.table_nets import float_table, gather_model
from tfmpq.analysis.coverage import LeftOut, explain
from tfmpq.analysis.coverage_rules import REASONS
from tfmpq.analysis.kernels import FLOAT_KERNELS, INSTEAD, QUANTIZED_KERNELS
from tfmpq.recipe.rules import LayerSettings

MOVED = [
    "RESHAPE", "TRANSPOSE", "SLICE", "PAD", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "RESIZE_BILINEAR", "BATCH_MATMUL",
]  # fmt: skip
REDUCED = ["MEAN", "SUM", "REDUCE_MAX"]
OWN_CASES = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}


def op_file(name: str, dtype: str) -> bytes:
    """A plain file of the operator, none of whose options is a reason to leave it out."""
    if name in ("CONCATENATION", "SPLIT"):
        return cases.joined(2, dtype) if name == "CONCATENATION" else cases.pieces(2, dtype)
    if name.endswith("_POOL_2D"):
        return cases.pooled(name, dtype, 2, 2)
    if name == "STRIDED_SLICE":
        return cases.strided(dtype, 1)
    if name == "PRELU":
        return cases.prelu(dtype)
    if name in REDUCED:
        return cases.reduced(name, dtype)
    try:
        return cases.moved(name, dtype)
    except KeyError:
        return cases.elementwise(name, dtype)


def taken(content: bytes) -> bool:
    return not delegate_coverage(make_interpreter(content)).left


def only(content: bytes) -> LeftOut:
    """The one operator that is left out."""
    (entry,) = explain(content).left
    return entry


@pytest.mark.parametrize("name", sorted(QUANTIZED_KERNELS - OWN_CASES))
def test_operators_that_are_taken_in_int8(name):
    assert taken(op_file(name, "int8"))


@pytest.mark.parametrize("name", sorted(FLOAT_KERNELS - OWN_CASES - {"QUANTIZE"}))
def test_operators_that_are_taken_in_float(name):
    assert taken(op_file(name, "float"))


@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_int8_layers_are_taken(kind):
    assert taken(cases.window(kind, 8))


@pytest.mark.parametrize(
    "name",
    ["HARD_SWISH", "SOFTMAX", "ABS", "NEG", "RSQRT", "GELU", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE",
     "AVERAGE_POOL_2D", "PRELU"],
)  # fmt: skip
def test_operators_that_are_taken_in_float_only(name):
    entry = only(op_file(name, "int8"))
    assert (entry.op_name, entry.reason) == (name, "float only")
    assert entry.why == f"XNNPACK has {name} in float only, not in int8"
    assert entry.change == INSTEAD.get(name, entry.change)
    assert taken(op_file(name, "float"))


@pytest.mark.parametrize(
    "name",
    ["SPLIT_V", "GATHER", "SQUEEZE", "EXPAND_DIMS", "PACK", "UNPACK", "TILE", "RESIZE_NEAREST_NEIGHBOR", "MIRROR_PAD",
     "ARG_MAX", "CAST"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["int8", "float"])
def test_operators_without_a_kernel(name, dtype):
    entry = only(op_file(name, dtype))
    assert (entry.op_name, entry.reason) == (name, "no kernel")
    assert (entry.why, entry.change) == (f"XNNPACK has no kernel for {name}", INSTEAD[name])


@pytest.mark.parametrize("name", ["POW", "L2_NORMALIZATION", "LOG_SOFTMAX"])
def test_float_operators_without_a_kernel(name):
    assert only(op_file(name, "float")).reason == "no kernel"


def test_every_advice_is_about_an_operator_that_is_left_out():
    assert not set(INSTEAD) & QUANTIZED_KERNELS


@pytest.mark.parametrize(
    ("reason", "left", "neighbour", "words"),
    [
        ("int4 window", cases.window("conv", 4), cases.window("conv", 8), "CONV_2D with INT4 weights"),
        ("int4 window", cases.window("depthwise", 4), cases.window("depthwise", 8), "DEPTHWISE_CONV_2D with INT4"),
        ("int4 odd", cases.window("dense", 4, columns=15), cases.window("dense", 4), "15 weights, an odd number"),
        ("int4 odd", cases.window("dense", 4, columns=15), cases.window("dense", 8, columns=15), "an odd number"),
        ("computed weights", cases.computed_weights(), cases.window("dense", 8), "computed in the graph"),
        ("16 bits", cases.window("conv", 8, "int16"), cases.window("conv", 8), "16 bits"),
        ("dynamic range", cases.window("depthwise", 8, "float"), cases.window("depthwise", 8), "activations float"),
        ("many joined", cases.joined(6), cases.joined(5), "joins 6 pieces, and XNNPACK joins at most 5"),
        ("many joined", cases.joined(8, "float"), cases.joined(5, "float"), "joins 8 pieces"),
        ("many pieces", cases.pieces(5), cases.pieces(4), "makes 5 pieces, and XNNPACK makes at most 4"),
        ("activation alone", op_file("RELU6", "int8"), op_file("RELU6", "float"), "stands alone"),
        ("activation alone", op_file("RELU", "int8"), op_file("RELU", "float"), "stands alone"),
        ("steps", cases.strided("int8", 2), cases.strided("int8", 1), "every n-th element"),
        ("dropped dimension", cases.strided("float", 1, shrink=2), cases.strided("float", 1), "drops or adds"),
        ("right side", cases.product(-5), cases.product(0), "another zero point than 0"),
        ("gaps", cases.pooled("MAX_POOL_2D", "int8", 2, 3), cases.pooled("MAX_POOL_2D", "int8", 3, 3), "larger than"),
        ("gaps", cases.pooled("AVERAGE_POOL_2D", "float", 1, 2), op_file("AVERAGE_POOL_2D", "float"), "larger than"),
    ],
)  # fmt: skip
def test_reasons(reason, left, neighbour, words):
    entry = only(left)
    assert entry.reason == reason
    assert words in entry.why
    assert entry.change
    assert taken(neighbour)  # what the advice leads to, as far as it is one operator


def test_a_pool_whose_stride_is_not_the_only_reason():
    entry = only(cases.pooled("AVERAGE_POOL_2D", "int8", 1, 2))
    assert entry.reason == "float only"  # another window would not help
    assert not taken(cases.pooled("AVERAGE_POOL_2D", "int8", 2, 2))


def test_scales_far_apart():
    def added(scale: float) -> bytes:
        a = cases.tensor("a", cases.SHAPE, "int8")
        b, y = (cases.tensor(name, cases.SHAPE, "int8", 0.05 * scale) for name in "by")
        return file_of([add_op(a, b, y)], [a, b], [y])

    assert only(added(2.0**12)).reason == "scales apart"
    assert taken(added(2.0**8))


def test_many_dimensions():
    def added(rank: int) -> bytes:
        x, y = (cases.tensor(n, (1, *[2] * (rank - 1)), "int8") for n in "xy")
        return file_of([add_op(x, x, y)], [x], [y])

    assert (only(added(7)).reason, only(added(7)).why.partition(",")[0]) == (
        "many dimensions",
        "it works on 7 dimensions",
    )
    assert taken(added(6))


def test_integer_arithmetic():
    x, y = cases.tensor("x", (1, 4), "int32"), cases.tensor("y", (1, 4), "int32")
    entry = only(file_of([add_op(x, x, y)], [x], [y]))
    assert (entry.reason, entry.why) == (
        "type",
        "it computes with INT32, and XNNPACK only with float and 8-bit integers",
    )


def dynamic(computed: bool) -> bytes:
    """RESHAPE, then ADD; the shape is an input of the file, or a constant."""
    x = cases.tensor("x", (1, 8, 8, 16), "int8")
    flat, y = cases.tensor("flat", (1, 1024), "int8"), cases.tensor("y", (1, 1024), "int8")
    shape = cases.tensor("shape", (2,), "int32") if computed else integers("shape", [1, 1024])
    options = schema.ReshapeOptionsT()
    reshape = Op(BuiltinOperator.RESHAPE, [x, shape], [flat], 1, schema.BuiltinOptions.ReshapeOptions, options)
    return file_of([reshape, add_op(flat, flat, y)], [x, shape] if computed else [x], [y])


def test_shapes_known_only_while_running():
    assert taken(dynamic(computed=False))
    report = explain(dynamic(computed=True))
    assert [entry.reason for entry in report.left] == ["dynamic"] * len(report.left)
    assert report.left[0].op_name == "RESHAPE"
    assert "batch_size=1" in report.left[0].change


def test_lookups_of_rows_are_left_alone():
    content = save(dynamic_file(with_lookups(gather_model(float_table(64, 64), (5,)))).model)
    entry = only(content)
    assert (entry.op_name, entry.reason) == ("EMBEDDING_LOOKUP", "lookup")
    assert "leave it" in entry.change


def test_custom_operators_and_what_nobody_knows(monkeypatch):
    content = cases.window("conv", 4)
    monkeypatch.setattr("tfmpq.analysis.coverage.REASONS", tuple(r for r in REASONS if r.name == "custom"))
    report = explain(content)
    assert [(entry.reason, entry.why, entry.change) for entry in report.left] == [(None, "", "")]
    assert "CONV_2D left to slower kernels for a reason that tfmpq does not know: op 0" in str(report)


# ---------------------------------------------------------------- files of tfmpq's


def test_a_compact_file_is_to_be_expanded():
    base = residual()
    settings = LayerSettings(4, 1, "radix", "parallel")
    rows = {n: base.rows(n, settings, np.ones(base.layers[n].channels, int)) for n in ("conv", "dw", "expand")}
    report = explain(base.emit(rows, "compact").content)
    found = {entry.layer: entry for entry in report.left}
    assert set(found) == {"conv", "dw", "classifier"}  # expand is a dense layer now, which INT4 is for
    assert found["conv"].reason == found["dw"].reason == "int4 window"
    assert "tfmpq expand" in found["conv"].change
    assert (found["classifier"].op_name, found["classifier"].reason) == ("SOFTMAX", "float only")
    assert "tfmpq expand" not in only(cases.window("conv", 4)).change  # not a file of tfmpq's


def test_rows_put_back_in_order():
    base = residual()
    settings = LayerSettings(4, 2, "radix", "split")
    counts = 1 + np.arange(base.layers["classifier"].channels) % 2
    emitted = base.emit({"classifier": base.rows("classifier", settings, counts)}, "split")
    (entry,) = [e for e in explain(emitted.content).left if e.op_name == "GATHER"]
    assert (entry.reason, entry.layer) == ("gathered rows", "classifier")
    assert "tfmpq.Rule(match=r'^classifier$', lowering='fused')" in entry.change
    fused = base.emit({"classifier": base.rows("classifier", settings, counts)}, "fused")
    assert "GATHER" not in [e.op_name for e in explain(fused.content).left]


# ---------------------------------------------------------------- the report


def test_text_groups_equal_reasons_and_fits():
    x = cases.tensor("x", cases.SHAPE, "int8")
    chain = [cases.tensor(f"net/layer_with_quite_a_long_name_{i}/Relu6", cases.SHAPE, "int8") for i in range(12)]
    ops = [
        Op(BuiltinOperator.RELU6, [a], [b], 2)
        for a, b in zip([x, *chain], chain, strict=False)
    ]  # fmt: skip
    report = explain(file_of(ops, [x], [chain[-1]]))
    lines = str(report).splitlines()
    assert lines[0].startswith("XNNPACK runs 0 of 12 operators in 0 partitions")
    assert sum("stands alone" in line for line in lines) == 1
    assert "op 11 (layer_with_quite_a_long_name_11)" in " ".join(line.strip() for line in lines)
    assert sum(line.startswith("    ->") for line in lines) == 1
    assert max(map(len, lines)) <= 120


def test_dict_is_json(conv_net_int8):
    data = json.loads(json.dumps(explain(cases.joined(6)).to_dict()))
    assert (data["delegated_ops"], data["total_ops"], data["left"][0]["reason"]) == (0, 1, "many joined")
    whole = explain(conv_net_int8)
    assert (whole.delegated_ops, whole.total_ops, whole.left) == (5, 5, ())
    assert len(str(whole).splitlines()) == 1


def test_corrupt_file(conv_net_int8):
    with pytest.raises(FileFormatError, match="cut off or corrupt"):
        explain(conv_net_int8[:1000])
    assert explain(save(load(conv_net_int8))).left == ()
