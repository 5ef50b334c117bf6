"""A .tflite file as plain read-only data, without a schema module: for inspection and for the check before running.

This reader is for machines that hold only NumPy, and for files that may be corrupt. :mod:`converters.tflite.graph`
makes objects that can be edited of what it reads. Field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError
from converters.tflite.op_names import op_name
from converters.tflite.packing import unpack_codes
from converters.tflite.tables import Table, unpack

IDENTIFIER = b"TFL3"
# TensorType -> (name, bits an element takes, NumPy type of its codes); 0 bits: not stored as a fixed-size array.
TYPES: tuple[tuple[str, int, str], ...] = (
    ("FLOAT32", 32, "<f4"), ("FLOAT16", 16, "<f2"), ("INT32", 32, "<i4"), ("UINT8", 8, "u1"), ("INT64", 64, "<i8"),
    ("STRING", 0, "u1"), ("BOOL", 8, "u1"), ("INT16", 16, "<i2"), ("COMPLEX64", 64, "<c8"), ("INT8", 8, "i1"),
    ("FLOAT64", 64, "<f8"), ("COMPLEX128", 128, "<c16"), ("UINT64", 64, "<u8"), ("RESOURCE", 0, "u1"),
    ("VARIANT", 0, "u1"), ("UINT32", 32, "<u4"), ("UINT16", 16, "<u2"), ("INT4", 4, "i1"), ("BFLOAT16", 16, "<u2"),
    ("INT2", 2, "i1"), ("UINT4", 4, "u1"), ("FLOAT8_E4M3FN", 8, "u1"), ("FLOAT8_E5M2", 8, "u1"),
)  # fmt: skip


@dataclass(frozen=True)
class FileTensor:
    """One tensor. ``scale`` and ``zero_point`` are per tensor (1,), per slice of ``axis`` (n,), or empty.

    ``shape_signature`` has -1 for dimensions that may be resized; ``table`` holds what is not listed here.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    buffer: int
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    sparse: bool
    shape_signature: tuple[int, ...] | None = None
    table: Table | None = None

    @property
    def type_name(self) -> str:
        """Type as the schema spells it, e.g. ``INT8``."""
        return TYPES[self.type][0]


@dataclass(frozen=True)
class FileOp:
    """One operator; inputs and outputs are tensor numbers, -1 an omitted input. ``table`` holds its options."""

    name: str
    code: int
    custom_code: str | None
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...]
    table: Table


@dataclass(frozen=True)
class FileGraph:
    """One subgraph."""

    name: str
    tensors: tuple[FileTensor, ...]
    ops: tuple[FileOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class FileSignature:
    """A named entry point of graph ``graph``: (argument name, tensor number) pairs."""

    key: str
    graph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ModelFile:
    """A whole file. ``buffers`` are raw bytes; an empty one means the tensor is no constant."""

    graphs: tuple[FileGraph, ...]
    buffers: tuple[memoryview, ...]
    metadata: dict[str, memoryview]
    signatures: tuple[FileSignature, ...] = ()
    description: str = ""
    version: int = 3

    def constant(self, tensor: FileTensor) -> bool:
        """Whether the file holds the tensor's values."""
        return len(self.buffers[tensor.buffer]) > 0

    def codes(self, tensor: FileTensor) -> np.ndarray:
        """Values of a constant as stored (integers of quantized tensors), unpacked, in the tensor's shape."""
        _, bits, dtype = TYPES[tensor.type]
        data = self.buffers[tensor.buffer]
        count = math.prod(tensor.shape)
        if not bits or tensor.sparse:
            raise ValueError(f"tensor {tensor.name!r} is not a plain array")
        if bits >= 8:
            return np.frombuffer(data, dtype, count).reshape(tensor.shape)
        return unpack_codes(data, count, bits=bits, dtype=np.dtype(dtype)).reshape(tensor.shape)


def read_model(data: bytes) -> ModelFile:
    """Reads a .tflite file and checks that its parts fit together.

    Raises:
        FileFormatError: Not a TensorFlow Lite file, cut off, or corrupt.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise FileFormatError("not a TensorFlow Lite file: the identifier 'TFL3' is missing at byte 4")
    root = Table(data, unpack(data, "I", 0))
    buffers = tuple(_buffer(table) for table in root.tables(4))
    codes = [_op_code(table) for table in root.tables(1)]
    graphs = tuple(_graph(table, codes, buffers) for table in root.tables(2))
    if not graphs:
        raise FileFormatError("the file holds no graph: it is corrupt or empty")
    metadata = {}
    for table in root.tables(6):
        buffer = table.integer(1, "I")
        _expect(buffer < len(buffers), "a metadata entry", "buffer", buffer)
        metadata[table.text(0)] = buffers[buffer]
    signatures = tuple(_signature(table, graphs) for table in root.tables(7))
    return ModelFile(graphs, buffers, metadata, signatures, root.text(3), root.integer(0, "I"))


def _expect(condition: bool, where: str, what: str, value: object) -> None:
    if not condition:
        raise FileFormatError(f"{where} has {what} {value}, which cannot be: the file is corrupt")


def _buffer(table: Table) -> memoryview:
    outside, size = table.integer(1, "Q"), table.integer(2, "Q")
    if outside > 1:  # big files keep the data behind the flatbuffer; 0 and 1 mean they do not
        _expect(outside + size <= len(table.data), "a buffer", "an end past the file's at byte", outside + size)
        return memoryview(table.data)[outside : outside + size]
    return table.array(0, "u1").data


def _op_code(table: Table) -> tuple[str, int, str | None, int]:
    """(name, code, custom code, version)."""
    code = max(table.integer(0, "b"), table.integer(3, "i"))  # the first is the old one-byte field
    _expect(code >= 0, "an operator", "code", code)
    custom = table.text(1) or None
    return custom or op_name(code), code, custom, table.integer(2, "i", 1)


def _signature(table: Table, graphs: tuple[FileGraph, ...]) -> FileSignature:
    key, graph = table.text(2), table.integer(4, "I")
    where = f"signature {key!r}"
    _expect(graph < len(graphs), where, "graph number", graph)

    def arguments(field: int) -> tuple[tuple[str, int], ...]:
        found = tuple((entry.text(0), entry.integer(1, "I")) for entry in table.tables(field))
        for _, number in found:
            _expect(number < len(graphs[graph].tensors), where, "tensor number", number)
        return found

    return FileSignature(key, graph, arguments(0), arguments(1))


def _graph(table: Table, codes: list[tuple[str, int, str | None, int]], buffers: tuple[memoryview, ...]) -> FileGraph:
    tensors = tuple(_tensor(t, buffers) for t in table.tables(0))

    def numbers(owner: Table, field: int, where: str, lowest: int) -> tuple[int, ...]:
        values = tuple(owner.array(field, "<i4").tolist())
        for value in values:
            _expect(lowest <= value < len(tensors), where, "tensor number", value)
        return values

    ops = []
    for number, op in enumerate(table.tables(3)):
        opcode = op.integer(0, "I")
        _expect(opcode < len(codes), f"operator {number}", "operator code number", opcode)
        where = f"operator {number} ({codes[opcode][0]})"
        lists = (numbers(op, 1, where, -1), numbers(op, 2, where, 0), numbers(op, 8, where, 0))
        ops.append(FileOp(*codes[opcode], *lists, op))
    return FileGraph(
        table.text(4), tensors, tuple(ops), numbers(table, 1, "the graph", 0), numbers(table, 2, "the graph", 0)
    )


def _tensor(table: Table, buffers: tuple[memoryview, ...]) -> FileTensor:
    name = table.text(3)
    where = f"tensor {name!r}"
    shape = tuple(table.array(0, "<i4").tolist())
    kind = table.integer(1, "b")
    buffer = table.integer(2, "I")
    _expect(0 <= kind < len(TYPES), where, "type", kind)
    _expect(buffer < len(buffers), where, "buffer", buffer)
    _expect(min(shape, default=0) >= -1, where, "shape", shape)
    sparse = table.table(6) is not None
    bits = TYPES[kind][1]
    if len(buffers[buffer]) and bits and not sparse:
        needed = (math.prod(shape) * bits + 7) // 8
        _expect(
            min(shape, default=0) >= 0 and needed <= len(buffers[buffer]),
            f"{where}, shape {shape}, type {TYPES[kind][0]},",
            "a buffer size in bytes of",
            len(buffers[buffer]),
        )
    signature = tuple(table.array(7, "<i4").tolist()) if table.has(7) else None
    quantization = table.table(4)
    if quantization is None:
        scale, zero_point, axis = np.empty(0, np.float32), np.empty(0, np.int64), 0
    else:
        scale, zero_point, axis = (
            quantization.array(2, "<f4"),
            quantization.array(3, "<i8"),
            quantization.integer(6, "i"),
        )
    return FileTensor(name, shape, kind, buffer, scale, zero_point, axis, sparse, signature, table)
