"""Files that can be read and must not be run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import FileFormatError
from converters.runtime.interpreter import make_interpreter
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.model_file import read_model
from converters.tflite.op_names import OP_NAMES
from converters.tflite.soundness import _CALLS, _CALLS_2, _QUANTIZER_READS, _RUNTIME_READS, check_sound
from converters.tflite.writer import save


def real(name: str, shape: tuple[int, ...] = (1, 4), values: np.ndarray | None = None) -> Tensor:
    data = None if values is None else values.astype(np.float32).tobytes()
    return Tensor(name, shape, TensorType.FLOAT32, data)


def add(first: Tensor, second: Tensor, output: Tensor) -> Op:
    return Op(BuiltinOperator.ADD, [first, second], [output], 1, schema.BuiltinOptions.AddOptions, schema.AddOptionsT())


def network(change: Callable[[Graph, dict[str, Tensor]], Any] = lambda *_: None) -> Model:
    """Y = (x + c) + (x + c), with ``change`` applied."""
    x, c, h, y = real("x"), real("c", values=np.ones((1, 4))), real("h"), real("y")
    graph = Graph([x], [y], [add(x, c, h), add(h, h, y)], "main")
    change(graph, {t.name: t for t in (x, c, h, y)})
    return Model([graph], [], {})


def test_what_is_sound_passes():
    check_sound(read_model(save(network())), quantizer=True)
    # Neither an empty shape nor a variable is computed by anything.
    empty, state = real("empty", (0,)), real("state")
    state.raw = schema.TensorT()
    state.raw.isVariable = True
    x, y, z = real("x"), real("y"), real("z")
    reshape = Op(BuiltinOperator.RESHAPE, [x, dataclasses.replace(empty, type=TensorType.INT32)], [y])
    check_sound(read_model(save(Model([Graph([x], [z, x], [reshape, add(y, state, z)])], [], {}))), quantizer=True)


def out_of_order(graph: Graph, _: dict[str, Tensor]) -> None:
    graph.ops.reverse()


def never_computed(graph: Graph, _: dict[str, Tensor]) -> None:
    del graph.ops[0]


def output_never_computed(graph: Graph, _: dict[str, Tensor]) -> None:
    del graph.ops[1]


def reads_itself(graph: Graph, tensors: dict[str, Tensor]) -> None:
    graph.ops[0].inputs[0] = tensors["h"]


def written_twice(graph: Graph, tensors: dict[str, Tensor]) -> None:
    graph.ops.append(add(tensors["x"], tensors["c"], tensors["h"]))


def writes_an_input(graph: Graph, tensors: dict[str, Tensor]) -> None:
    graph.ops.append(add(tensors["h"], tensors["c"], tensors["x"]))


def writes_a_constant(graph: Graph, tensors: dict[str, Tensor]) -> None:
    graph.ops.append(add(tensors["h"], tensors["h"], tensors["c"]))


def constant_input(graph: Graph, tensors: dict[str, Tensor]) -> None:
    graph.inputs.append(tensors["c"])


def lacks_an_input(graph: Graph, _: dict[str, Tensor]) -> None:
    graph.ops[0].inputs[1] = None


def slice_of_nothing(graph: Graph, _: dict[str, Tensor]) -> None:
    graph.ops[1].code, graph.ops[1].options, graph.ops[1].options_type = BuiltinOperator.SLICE, None, 0


def huge(_: Graph, tensors: dict[str, Tensor]) -> None:
    tensors["x"].shape = (2**16, 2**15)


def no_scale(_: Graph, tensors: dict[str, Tensor]) -> None:
    tensors["h"].quantization = Quantization(np.array([np.nan], np.float32), np.zeros(1, np.int64))


def negative_scale(_: Graph, tensors: dict[str, Tensor]) -> None:
    tensors["h"].quantization = Quantization(np.array([-0.5], np.float32), np.zeros(1, np.int64))


def divides_by_nothing(graph: Graph, tensors: dict[str, Tensor]) -> None:
    options = schema.FullyConnectedOptionsT()
    kind = schema.BuiltinOptions.FullyConnectedOptions
    inputs = [tensors["h"], real("w", (4, 0)), None]
    graph.ops[1] = Op(BuiltinOperator.FULLY_CONNECTED, inputs, [tensors["y"]], 1, kind, options)


def text_for_numbers(_: Graph, tensors: dict[str, Tensor]) -> None:
    tensors["x"].type = TensorType.STRING


def numbers_for_text(_: Graph, tensors: dict[str, Tensor]) -> None:
    tensors["y"].type = TensorType.STRING


def of_many_dimensions(graph: Graph, tensors: dict[str, Tensor]) -> None:
    tensors["h"].shape = (1,) * 8 + (4,)
    graph.ops[1].code, graph.ops[1].options, graph.ops[1].options_type = BuiltinOperator.MAXIMUM, None, 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_many_dimensions, r"operator 1 \(MAXIMUM\) has a tensor of more than 8 dimensions"),
        (text_for_numbers, r"operator 0 \(ADD\) takes text for numbers, or numbers for text"),
        (numbers_for_text, r"operator 1 \(ADD\) takes text for numbers, or numbers for text"),
        (out_of_order, r"operator 0 \(ADD\) reads 'h', which is only computed afterwards"),
        (never_computed, r"operator 0 \(ADD\) reads 'h', which is never computed"),
        (output_never_computed, "output 'y' is never computed"),
        (reads_itself, r"operator 0 \(ADD\) reads 'h', which is only computed afterwards"),
        (written_twice, r"operator 2 \(ADD\) writes 'h', which is written already"),
        (writes_an_input, r"operator 2 \(ADD\) writes 'x', which is an input"),
        (writes_a_constant, r"operator 2 \(ADD\) writes 'c', which is a constant"),
        (constant_input, "input 'c' is a constant"),
        (lacks_an_input, r"operator 0 \(ADD\) lacks an input"),
        (slice_of_nothing, r"operator 1 \(SLICE\) lacks an input"),
        (huge, f"tensor 'x', shape \\(65536, 32768\\), has {2**31} elements"),
        (no_scale, "tensor 'h' has a scale that is no positive number"),
        (negative_scale, "tensor 'h' has a scale that is no positive number"),
        (divides_by_nothing, r"operator 1 \(FULLY_CONNECTED\): 'w' has no elements"),
    ],
)
def test_what_ends_a_runtime_is_refused(change, message):
    content = save(network(change))
    with pytest.raises(FileFormatError, match=f"{message}: the file is corrupt"):
        check_sound(read_model(content))
    with pytest.raises(FileFormatError, match=message):
        make_interpreter(content)


def without_options(graph: Graph, _: dict[str, Tensor]) -> None:
    graph.ops[1].options, graph.ops[1].options_type = None, 0


def with_others_options(graph: Graph, _: dict[str, Tensor]) -> None:
    graph.ops[1].options, graph.ops[1].options_type = schema.MulOptionsT(), schema.BuiltinOptions.MulOptions


def with_intermediates(graph: Graph, tensors: dict[str, Tensor]) -> None:
    graph.ops[1].intermediates = [tensors["x"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_options, r"operator 1 \(ADD\) has no options"),
        (with_others_options, r"operator 1 \(ADD\) has the options of another operator"),
        (with_intermediates, r"operator 1 \(ADD\) has intermediate tensors"),
    ],
)
def test_what_ends_the_quantizer_alone_still_runs(change, message):
    file = read_model(save(network(change)))
    check_sound(file)
    with pytest.raises(FileFormatError, match=message):
        check_sound(file, quantizer=True)


def test_metadata_have_names():
    file = read_model(save(dataclasses.replace(network(), metadata={"": b"?"})))
    check_sound(file)
    with pytest.raises(FileFormatError, match="a metadata entry has no name"):
        check_sound(file, quantizer=True)


# ---------------------------------------------------------------- graphs that call graphs


def calling(*calls: list[tuple[int, int]]) -> bytes:
    """Graphs with an IF for every pair of graphs that they call."""
    condition = Tensor("condition", (1,), TensorType.BOOL, b"\1")
    graphs = []
    for i, pairs in enumerate(calls):
        ops = []
        for j, (then, otherwise) in enumerate(pairs):
            options = schema.IfOptionsT()
            options.thenSubgraphIndex, options.elseSubgraphIndex = then, otherwise
            kind = schema.BuiltinOptions.IfOptions
            ops.append(Op(BuiltinOperator.IF, [condition], [real(f"y{i}_{j}")], 1, kind, options))
        graphs.append(Graph([], [t for op in ops for t in op.outputs] or [condition], ops))
    return save(Model(graphs, [], {}))


def test_calls_lead_down_to_an_end():
    check_sound(read_model(calling([(1, 2)], [(2, 2), (2, 2)], [])))
    for circle in ([[(0, 0)]], [[(1, 2)], [(2, 2)], [(1, 1)]], [[], [(2, 2)], [(1, 1)]]):
        with pytest.raises(FileFormatError, match="in a circle, or too deeply"):
            check_sound(read_model(calling(*circle)))
    chain = [[(i + 1, i + 1)] for i in range(70)]
    with pytest.raises(FileFormatError, match="in a circle, or too deeply"):
        check_sound(read_model(calling(*chain, [])))
    for missing in (2, -1):
        with pytest.raises(FileFormatError, match=f"graph 0 calls graph {missing} of 2"):
            check_sound(read_model(calling([(1, missing)], [])))


def test_an_if_without_options_is_refused():
    model: Any = schema.ModelT.InitFromPackedBuf(calling([(1, 1)], []), 0)
    op = model.subgraphs[0].operators[0]
    op.builtinOptionsType, op.builtinOptions = 0, None
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(FileFormatError, match=r"operator 0 \(IF\) has no options"):
        check_sound(read_model(bytes(builder.Output())))


def test_numbers_are_those_of_the_schema():
    kinds = {value: name for name, value in vars(schema.BuiltinOptions).items() if isinstance(value, int)}
    odd = {"MEAN": "Reducer", "SUM": "Reducer", "CONV_3D_TRANSPOSE": "Conv3D", "L2_NORMALIZATION": "L2Norm"}
    for name, kind in (_RUNTIME_READS | _QUANTIZER_READS).items():
        assert name in OP_NAMES
        expected = odd.get(name, "Reducer" if name.startswith("REDUCE") else name.replace("_", ""))
        expected = "Pool2D" if name.endswith("POOL_2D") else expected
        assert kinds[kind].lower() == f"{expected}Options".lower()
    kinds_2 = {value: name for name, value in vars(schema.BuiltinOptions2).items() if isinstance(value, int)}
    for names, calls in ((kinds, _CALLS), (kinds_2, _CALLS_2)):
        for kind, fields in calls.items():
            made = getattr(schema, names[kind] + "T")()
            assert all("subgraph" in list(vars(made))[field].lower() for field in fields)
