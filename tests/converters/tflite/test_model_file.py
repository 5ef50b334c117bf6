from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.errors import FileFormatError
from converters.tflite import graph
from converters.tflite.model_file import TYPES, FileTensor, ModelFile, read_model
from converters.tflite.op_names import OP_NAMES
from converters.tflite.packing import pack_int4
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.file_bombs import peak, table_bomb


def named_values(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def unpack(content: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(content, 0)


def pack(raw: Any) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(raw.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def scaling(raw: Any) -> Any:
    """Scales of the first convolution's kernel."""
    graph = raw.subgraphs[0]
    return graph.tensors[graph.operators[2].inputs[1]].quantization


def test_names_are_those_of_the_schema():
    assert dict(enumerate(OP_NAMES)) == named_values(schema.BuiltinOperator)
    assert {i: name for i, (name, _, _) in enumerate(TYPES)} == named_values(schema.TensorType)


def test_reads_what_the_schema_module_reads(conv_net_int8):
    file, raw = read_model(conv_net_int8), unpack(conv_net_int8)
    assert [bytes(b) for b in file.buffers] == [b"" if b.data is None else bytes(b.data) for b in raw.buffers]
    assert {k: bytes(v) for k, v in file.metadata.items()} == {
        m.name.decode(): bytes(raw.buffers[m.buffer].data) for m in raw.metadata
    }
    for ours, theirs in zip(file.graphs, raw.subgraphs, strict=True):
        assert (ours.name, ours.inputs, ours.outputs) == (
            theirs.name.decode(),
            tuple(theirs.inputs),
            tuple(theirs.outputs),
        )
        for op, other in zip(ours.ops, theirs.operators, strict=True):
            code = raw.operatorCodes[other.opcodeIndex]
            assert (op.name, op.version) == (OP_NAMES[code.builtinCode], code.version)
            assert (op.inputs, op.outputs) == (tuple(other.inputs), tuple(other.outputs))
        for tensor, other in zip(ours.tensors, theirs.tensors, strict=True):
            assert (tensor.name, tensor.type, tensor.buffer) == (other.name.decode(), other.type, other.buffer)
            assert tensor.shape == (() if other.shape is None else tuple(other.shape))
            quantization = other.quantization
            for values, name in ((tensor.scale, "scale"), (tensor.zero_point, "zeroPoint")):
                expected = None if quantization is None else getattr(quantization, name)
                np.testing.assert_array_equal(values, [] if expected is None else expected)
            assert tensor.axis == (0 if quantization is None else quantization.quantizedDimension)


def test_sub_byte_codes_are_unpacked():
    for name, codes in (("INT4", [-8, 7, -1, 3, 5]), ("INT2", [-2, 1, -1, 0, 1]), ("UINT4", [0, 15, 8, 1, 2])):
        kind = [type_name for type_name, _, _ in TYPES].index(name)
        bits = TYPES[kind][1]
        packed = sum((code & (2**bits - 1)) << (bits * i) for i, code in enumerate(codes)).to_bytes(4, "little")
        empty = np.empty(0)
        tensor = FileTensor("w", (1, 5), kind, 0, empty, empty, 0, False)
        np.testing.assert_array_equal(ModelFile((), (memoryview(packed),), {}).codes(tensor), [codes])


def test_data_behind_the_flatbuffer_are_found(conv_net_int8):
    raw = unpack(conv_net_int8)
    expected = [b"" if b.data is None else bytes(b.data) for b in raw.buffers]
    largest = max(range(len(expected)), key=lambda i: len(expected[i]))
    buffer = raw.buffers[largest]
    buffer.data, buffer.size, buffer.offset = None, len(expected[largest]), 2
    buffer.offset = len(pack(raw))  # the size does not depend on the number
    content = pack(raw) + expected[largest]
    assert [bytes(b) for b in read_model(content).buffers] == expected
    with pytest.raises(FileFormatError, match="an end past the file's"):
        read_model(content[:-1])


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        (lambda raw: raw.subgraphs[0].operators[2], "inputs", [1, 99], r"operator 2 \(CONV_2D\) has tensor number 99"),
        (lambda raw: raw.subgraphs[0].operators[0], "outputs", [-1], r"operator 0 .* has tensor number -1"),
        (lambda raw: raw.subgraphs[0].operators[1], "opcodeIndex", 9, "operator 1 has operator code number 9"),
        (lambda raw: raw.subgraphs[0], "inputs", [1000], "the graph has tensor number 1000"),
        (lambda raw: raw.subgraphs[0].tensors[0], "buffer", 999, "has buffer 999"),
        (lambda raw: raw.subgraphs[0].tensors[0], "type", 99, "has type 99"),
        (lambda raw: raw.subgraphs[0].tensors[0], "shape", [1, -2], "has shape"),
        (lambda raw: raw.subgraphs[0].tensors[1], "shape", [2**30] * 4, "a buffer size in bytes of"),
        (lambda raw: raw.metadata[0], "buffer", 999, "a metadata entry has buffer 999"),
        (lambda raw: raw.operatorCodes[0], "builtinCode", -5, "an operator has code -5"),
        (lambda raw: raw, "subgraphs", [], "holds no graph"),
        (lambda raw: raw.subgraphs[0].tensors[0], "shape", [1] * 33, "a number of dimensions of 33"),
        (lambda raw: raw.subgraphs[0].tensors[0], "shapeSignature", [1] * 65, "a number of dimensions of 65"),
        (lambda raw: raw.subgraphs[0].tensors[0], "shape", [2**31 - 1] * 3 + [0], "has shape"),
        (lambda raw: raw.subgraphs[0].tensors[1], "shape", [2**26, 0], "a buffer size in bytes of"),
        (lambda raw: raw.subgraphs[0].tensors[1], "shape", [1], "a buffer size in bytes of 8"),
        (lambda raw: raw.subgraphs[0].tensors[1], "shape", [-1], "a buffer size in bytes of 8"),
        (lambda raw: raw.subgraphs[0].tensors[1], "type", 17, "INT4, has a buffer size in bytes of 8"),
        (lambda raw: raw.subgraphs[0].tensors[1], "name", b"\xff\xfe", "is no UTF-8"),
        (lambda raw: scaling(raw), "quantizedDimension", 4, "scales along a dimension of 4"),
        (lambda raw: scaling(raw), "quantizedDimension", -1, "scales along a dimension of -1"),
        (lambda raw: scaling(raw), "scale", [0.1] * 5, "a number of scales of 5"),
        (lambda raw: scaling(raw), "zeroPoint", [0] * 5, "a number of zero points of 5"),
    ],
)
def test_parts_that_do_not_fit_together(conv_net_int8, part, field, value, message):
    raw = unpack(conv_net_int8)
    assert raw.buffers[raw.subgraphs[0].tensors[1].buffer].data is not None  # a constant
    raw.operatorCodes[0].deprecatedBuiltinCode = -9
    setattr(part(raw), field, value)
    with pytest.raises(FileFormatError, match=message):
        read_model(pack(raw))


@pytest.mark.parametrize(("graphs", "tensors"), [(400, 400), (2, 4000), (4000, 2)])
def test_many_references_to_one_table_are_refused_at_once(graphs: int, tensors: int):
    content = table_bomb(graphs, tensors)
    read_model(table_bomb(1, 10))  # the form is right, it is the number

    def read() -> None:
        with pytest.raises(FileFormatError, match=f"more tables than a file of {len(content)} bytes"):
            read_model(content)

    assert peak(read) < 3e7  # was 150 MB of the first


def test_buffers_may_be_one_but_not_overlap(conv_net_int8):
    raw = unpack(conv_net_int8)
    sizes = [0 if b.data is None else len(b.data) for b in raw.buffers]
    largest = max(range(len(sizes)), key=lambda i: sizes[i])
    content = pack(raw) + bytes(raw.buffers[largest].data)
    start = len(pack(raw))

    def with_copies(places: list[tuple[int, int]]) -> bytes:
        edited = unpack(content)
        edited.buffers += [schema.BufferT() for _ in places]
        for buffer, place in zip(edited.buffers[-len(places) :], places, strict=True):
            buffer.offset, buffer.size = place
        return pack(edited) + bytes(len(content))

    same = read_model(with_copies([(16, 500)] * 100)).buffers
    assert len({id(buffer) for buffer in same[-100:]}) == 1
    with pytest.raises(FileFormatError, match="buffers overlap"):
        read_model(with_copies([(16 + i, start) for i in range(100)]))


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_an_error_or_harmless(conv_net_int8, data):
    """Flipped bits and cut ends: never anything but FileFormatError, never long."""
    content = bytearray(conv_net_int8)
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 7)), max_size=20), "flips")
    for position, bit in flips:
        content[position] ^= 1 << bit
    content = bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)), "size")])
    try:
        file = read_model(content)
        for tensor in (tensor for part in file.graphs for tensor in part.tensors):
            if file.constant(tensor) and not tensor.sparse and TYPES[tensor.type][1]:
                assert file.codes(tensor).shape == tensor.shape
    except FileFormatError:
        pass


def test_int4_of_the_graph_module_reads_back(conv_net_int8):
    model = load(conv_net_int8)
    weight = model.graph.ops[2].input(1)
    codes = np.clip(weight.array(), -8, 7)
    weight.data, weight.type = pack_int4(codes), graph.TensorType.INT4
    file = read_model(save(model))
    tensor = file.graphs[0].tensors[file.graphs[0].ops[2].inputs[1]]
    np.testing.assert_array_equal(file.codes(tensor), codes, strict=True)
