from __future__ import annotations

import copy
import json
import re

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ValidationError
from converters.layers.kinds import kind_of
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.reference.integer_ops import run_op
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import activation, add_op, bias, concat_op, layer_op, weight
from tests.support.pipeline import validate
from tfmpq.emit.validation import ValidationReport


def declared(layer: str, ops: list[Op]) -> LoweredLayer:
    """What a lowering would say that wrote these operators."""
    weights = {}
    for op in ops:
        if (kind := kind_of(op)) is not None:
            tensor = op.input(kind.site.weight)
            assert tensor.quantization is not None
            rows = kind.rows(tensor.array()).copy()
            weights[tensor.name] = EmittedWeight(layer, tensor.name, rows, tensor.quantization.scale.copy())
    return LoweredLayer(layer, "test", tuple(weights.values()), tuple(t.name for op in ops for t in op.outputs))


class Emitted:
    """A file with one layer in the parallel form, to be damaged: stem, depthwise and classifier are stock's."""

    def __init__(self, stock: bytes) -> None:
        self.stock = stock
        self.model = load(stock)
        graph = self.model.graph
        stem, depthwise, project, _, classifier = graph.ops
        self.ops = [*self._parallel(project), classifier]
        graph.ops = [stem, depthwise, *self.ops[:-1], graph.ops[3], classifier]
        self.lowered = [
            declared("stem", [stem]),
            declared("depthwise", [depthwise]),
            declared("project", self.ops[:-1]),
            declared("classifier", [classifier]),
        ]

    def _parallel(self, op: Op) -> list[Op]:
        """The 1x1 convolution as an int4 dense op for 10 rows, and two int4 points with ADD for the 6 others."""
        rng = np.random.default_rng(0)
        source, target = op.input(0), op.outputs[0]
        step, zero = target.scale, target.zero_point

        def point(name: str, rows: int, out: Tensor, fused: str, part: float) -> Op:
            codes = rng.integers(-8, 8, (rows, source.shape[3]))
            weights = weight(f"project/{name}", "dense", codes, rng.uniform(0.01, 0.1, rows) * part, int4=True)
            biases = bias(f"project/{name}/bias", rng.integers(-50, 50, rows), source, weights)
            return layer_op("dense", source, weights, biases, out, fused=fused, keep_dims=True)

        shape = target.shape[:3]
        one, two = (activation(f"project/{name}", (*shape, n), step, zero) for name, n in (("one", 10), ("two", 6)))
        # No round ratios of scales: sums of two points would be ties, which every kernel rounds its own way.
        first, second = (
            activation("first", (*shape, 6), 1.9 * step, 5),
            activation("second", (*shape, 6), step / 7.3, -9),
        )
        return [
            point("one/weight", 10, one, "RELU6", 1),
            point("first/weight", 6, first, "NONE", 1),
            point("second/weight", 6, second, "NONE", 1 / 16),
            add_op(first, second, two, fused="RELU6"),
            concat_op([two, one], target, axis=3),
        ]

    def op(self, output: str) -> Op:
        return next(op for op in self.model.graph.ops if op.outputs[0].name == output)

    def validate(self, images: np.ndarray, count: int = 2):
        return validate(
            save(self.model), self.stock, self.lowered, [{"image": image[None]} for image in images[:count]]
        )


@pytest.fixture
def emitted(conv_net_int8) -> Emitted:
    return Emitted(conv_net_int8)


def test_a_good_file_passes(emitted, images):
    report = emitted.validate(images)
    assert report.kernels == ("xnnpack", "builtin", "reference")
    assert report.ops_checked == 8
    assert report.max_step <= 1
    assert report.mismatch_share < 0.02  # values next to a tie, rounded twice by some kernels; 0.009 when written
    assert report.notes == ()
    assert json.loads(json.dumps(report.to_dict()))["ops_checked"] == 8
    assert "8 ops" in str(report)


def test_the_stock_file_passes_as_it_is(conv_net_int8, images):
    lowered = [declared(op.outputs[0].name, [op]) for op in load(conv_net_int8).graph.ops if kind_of(op) is not None]
    report = validate(conv_net_int8, conv_net_int8, lowered, [{"image": images[:1]}])
    assert report.ops_checked == 4


# ---------------------------------------------------------------- integers


@pytest.mark.parametrize("name", ["stem", "depthwise", "project", "classifier"])
def test_a_flipped_code_is_found(emitted, images, name):
    entry = next(entry for entry in emitted.lowered if entry.layer == name)
    wanted = entry.weights[-1]
    row, column = wanted.codes.shape[0] - 1, 2
    # Said differently from what stands in the file: the same as the file written differently.
    wanted.codes[row, column] ^= 1
    message = rf"layer '{name}': weight '{re.escape(wanted.tensor)}' of \w+: 1 of .* row {row} column 2, is "
    with pytest.raises(ValidationError, match=message):
        emitted.validate(images)


def test_a_wrong_scale_is_found(emitted, images):
    tensor = emitted.op("first").input(1)
    tensor.quantization.scale[4] = np.nextafter(tensor.quantization.scale[4], np.float32(1))
    with pytest.raises(ValidationError, match=r"'project/first/weight'.*: 1 scales differ .* row 4"):
        emitted.validate(images)


def test_a_zero_point_or_another_axis_is_found(emitted, images):
    tensor = emitted.op("first").input(1)
    scale = tensor.quantization.scale
    tensor.quantization = Quantization(scale, np.array([0, 0, 3, 0, 0, 0]))
    with pytest.raises(ValidationError, match=r"zero points up to 3"):
        emitted.validate(images)
    columns = tensor.shape[1]  # as many scales as the other axis is long: anything else cannot even be read back
    tensor.quantization = Quantization(np.resize(scale, columns), np.zeros(columns, np.int64), axis=1)
    with pytest.raises(ValidationError, match=rf"{columns} scales on axis 1"):
        emitted.validate(images)


def test_rows_that_are_missing_are_found(emitted, images):
    entry = emitted.lowered[0].weights[0]
    object.__setattr__(entry, "codes", entry.codes[1:])
    with pytest.raises(ValidationError, match=r"has rows of shape \(8, 27\), the points \(7, 27\)"):
        emitted.validate(images)


def test_what_is_declared_must_be_there_and_what_is_there_declared(emitted, images):
    whole = emitted.lowered[2]
    emitted.lowered[2] = LoweredLayer("project", "test", whole.weights[1:], whole.outputs)
    with pytest.raises(ValidationError, match=r"reads the weight 'project/one/weight', which .* not declare"):
        emitted.validate(images)
    ghost = EmittedWeight("project", "ghost", np.zeros((2, 2), np.int8), np.ones(2, np.float32))
    emitted.lowered[2] = LoweredLayer("project", "test", (*whole.weights, ghost), whole.outputs)
    with pytest.raises(ValidationError, match="no operator of the file reads 'ghost'"):
        emitted.validate(images)
    emitted.lowered[2] = LoweredLayer("project", "test", whole.weights, (*whole.outputs, "nowhere"))
    with pytest.raises(ValidationError, match="0 operators of the file write 'nowhere'"):
        emitted.validate(images)


# ---------------------------------------------------------------- what runtimes compute


def test_a_bias_in_wrong_units_is_found(emitted, images):
    # As if the bias had been made with another scale: the runtime takes its integers for s_x * s_w.
    op = emitted.op("project/one")
    old = op.input(2)
    op.inputs[2] = copy.copy(old)
    op.input(2).data = (old.array() * 3).astype(np.int32).tobytes()
    op.input(2).quantization = Quantization(
        (old.quantization.scale / 3).astype(np.float32), old.quantization.zero_point
    )
    with pytest.raises(
        ValidationError, match=r"'project': FULLY_CONNECTED writing 'project/one' is up to \d+ steps off"
    ):
        emitted.validate(images)


def test_an_overflowing_bias_is_found(emitted, images):
    emitted.op("second").input(2).data = np.full(6, -(2**31), np.int32).tobytes()
    with pytest.raises(ValidationError, match=r"'second'.*overflows"):
        emitted.validate(images)


def test_an_op_that_runtimes_compute_differently_is_found(emitted, images, monkeypatch):
    # The kernels are right, so let the reference be wrong: two steps up on every sum of two points.
    def shifted(op: Op, given: list[np.ndarray | None]) -> list[np.ndarray]:
        return [out + (2 if op.code == BuiltinOperator.ADD else 0) for out in run_op(op, given)]

    monkeypatch.setattr("tfmpq.emit.comparison.run_op", shifted)
    with pytest.raises(ValidationError, match=r"ADD writing 'project/two' is up to 2 steps off .* xnnpack"):
        emitted.validate(images)


def test_an_op_without_reference_is_said(emitted, images):
    emitted.lowered.append(LoweredLayer("pool", "test", (), (emitted.model.graph.ops[-2].outputs[0].name,)))
    with pytest.raises(ValidationError, match=r"'pool': MEAN .* cannot be checked: MEAN has no integer reference"):
        emitted.validate(images)


def test_a_missing_bias_is_found_before_it_crashes_the_kernels(emitted, images):
    depthwise = emitted.model.graph.ops[1]
    del depthwise.inputs[2]
    with pytest.raises(ValidationError, match=r"layer 'depthwise': DEPTHWISE_CONV_2D .* has no bias"):
        emitted.validate(images)


# ---------------------------------------------------------------- relative to stock


def float_detour(model: Model, at: int) -> None:
    """Dequantizes and requantizes the output of operator ``at``."""
    graph = model.graph
    tensor = graph.ops[at].outputs[0]
    real = Tensor(f"{tensor.name}/real", tensor.shape, TensorType.FLOAT32)
    back = Tensor(f"{tensor.name}/back", tensor.shape, TensorType.INT8, None, tensor.quantization)
    for op in graph.ops:
        op.inputs = [back if t is tensor else t for t in op.inputs]
    graph.ops[at + 1 : at + 1] = [
        Op(BuiltinOperator.DEQUANTIZE, [tensor], [real], 2),
        Op(BuiltinOperator.NEG, [real], [Tensor(f"{real.name}/neg", tensor.shape, TensorType.FLOAT32)]),
    ]
    negated = graph.ops[at + 2].outputs[0]
    again = Tensor(f"{real.name}/again", tensor.shape, TensorType.FLOAT32)
    graph.ops[at + 3 : at + 3] = [
        Op(BuiltinOperator.NEG, [negated], [again]),
        Op(BuiltinOperator.QUANTIZE, [again], [back]),
    ]


def test_an_added_float_op_is_found_and_stocks_own_are_noted(emitted, images):
    float_detour(emitted.model, 0)
    with pytest.raises(ValidationError, match=r"'\S+/real' computes in float \(INT8 -> FLOAT32\) and is not in"):
        emitted.validate(images)
    stock = load(emitted.stock)
    float_detour(stock, 0)
    emitted.stock = save(stock)
    report = emitted.validate(images)
    assert report.notes == ("in float, as in the file it was made from: 2 NEG",)


def test_another_interface_is_found(emitted, images):
    output = emitted.model.graph.outputs[0]
    right = output.quantization
    output.quantization = Quantization(right.scale * 2, right.zero_point)
    with pytest.raises(ValidationError, match=r"has INT8 \(1, 10\), scale .* outputs where .* scale"):
        emitted.validate(images)
    output.quantization = right
    emitted.model.graph.outputs.append(emitted.op("project/two").outputs[0])
    with pytest.raises(ValidationError, match=r"has INT8 \(1, 8, 8, 6\), .* outputs where the file .* has nothing"):
        emitted.validate(images)
    emitted.model.graph.outputs.pop()
    ((_, image),) = emitted.model.signatures[0].inputs
    emitted.model.signatures[0].inputs[0] = ("picture", image)
    with pytest.raises(ValidationError, match=r"has \['picture'\] in .* inputs where .* \['image'\]"):
        emitted.validate(images)


def tile(source: Tensor, output: Tensor) -> Op:
    """A TILE version that the reference kernels do not have."""
    multiples = Tensor("multiples", (4,), TensorType.INT32, np.ones(4, np.int32).tobytes())
    return Op(BuiltinOperator.TILE, [source, multiples], [output], 3, schema.BuiltinOptions.TileOptions, None)


def tiled(model: Model) -> bytes:
    graph = model.graph
    old = graph.ops[0].outputs[0]
    new = Tensor(f"{old.name}/tiled", old.shape, old.type, None, old.quantization)
    graph.ops[1].inputs[0] = new
    graph.ops.insert(1, tile(old, new))
    return save(model)


def test_kernels_that_refuse_the_file(emitted, images):
    tiled(emitted.model)
    with pytest.raises(ValidationError, match=r"does not run with reference kernels although .*'TILE' version '3'"):
        emitted.validate(images)


def test_kernels_that_refuse_stock_too_are_noted(emitted, images):
    tiled(emitted.model)
    emitted.stock = tiled(load(emitted.stock))
    report = emitted.validate(images)
    assert report.kernels == ("xnnpack", "builtin")
    (note,) = report.notes
    assert re.search(r"not run with reference kernels.*'TILE' version '3'", note)
    assert note in str(report).splitlines()


def test_unreadable_files_and_missing_samples(emitted, conv_net_int8, images):
    with pytest.raises(ValidationError, match="cannot be read back"):
        validate(conv_net_int8[:1000], conv_net_int8, [], [{"image": images[:1]}])
    with pytest.raises(ValueError, match="at least one sample"):
        validate(conv_net_int8, conv_net_int8, [], [])


def test_a_layer_fed_by_the_graph_input_and_one_without_signature(images):
    # Everything the check reads under a delegate is either fed or computed: here nothing lies between.
    source, output = activation("x", (1, 8), 0.1, 4), activation("y", (1, 4), 0.2, 3)
    weights = weight("w", "dense", np.arange(32).reshape(4, 8) - 16, np.full(4, 0.01))
    op = layer_op("dense", source, weights, bias("b", np.arange(4), source, weights), output)
    content = save(Model([Graph([source], [output], [op])], [], {}))
    report = validate(content, content, [declared("only", [op])], [{"x": images[0, 0, :1].repeat(3, 1)[:, :8]}])
    assert (report.ops_checked, report.max_step) == (1, 0)


def test_nothing_is_called_equal_where_nothing_was_compared():
    text = str(ValidationReport(("xnnpack",), 0, 0, 0.0, ()))
    assert text == "no layer was rewritten: there are no points to check\nran with xnnpack kernels"
