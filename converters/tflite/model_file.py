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
from converters.tflite.tables import Source, Table

IDENTIFIER = b"TFL3"
_MOST_DIMENSIONS = 32  # NumPy 1 takes no more, and neither does the app
_MOST_ITEM = 16  # bytes of an element
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
    """Reads a .tflite file and checks that its parts fit together, in time and memory that its size bounds.

    What is read may be looked into; whether a runtime can be trusted with it, :mod:`converters.tflite.soundness` says.

    Raises:
        FileFormatError: Not a TensorFlow Lite file, cut off, or corrupt.
    """
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise FileFormatError("not a TensorFlow Lite file: the identifier 'TFL3' is missing at byte 4")
    root = Source(data).root()
    buffers = _buffers(root)
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


def _buffers(root: Table) -> tuple[memoryview, ...]:
    """The contents of all buffers; those at one place are one object."""
    data = memoryview(root.source.data)
    known: dict[tuple[int, int], memoryview] = {}
    found = []
    for table in root.tables(4):
        outside, size = table.integer(1, "Q"), table.integer(2, "Q")
        if outside > 1:  # big files keep the data behind the flatbuffer; 0 and 1 mean they do not
            _expect(outside + size <= len(data), "a buffer", "an end past the file's at byte", outside + size)
        else:
            outside, size = table.span(0)
        place = (outside, size) if size else (0, 0)
        if place not in known:
            known[place] = data[outside : outside + size]
        found.append(known[place])
    total = sum(size for _, size in known)
    if total > len(data):
        raise FileFormatError(f"its buffers overlap and come to {total} of {len(data)} bytes: the file is corrupt")
    return tuple(found)


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
        values = owner.integers(field)
        owner.source.visit(len(values))
        for value in values:
            _expect(lowest <= value < len(tensors), where, "tensor number", value)
        # Whoever walks the operators reads the names of what they take.
        owner.source.use(sum([len(tensors[value].name) for value in values]))
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
    shape = table.integers(0)
    kind = table.integer(1, "b")
    buffer = table.integer(2, "I")
    _expect(0 <= kind < len(TYPES), where, "type", kind)
    _expect(buffer < len(buffers), where, "buffer", buffer)
    signature = table.integers(7) if table.has(7) else None
    for sizes in (shape, signature or ()):
        _expect(len(sizes) <= _MOST_DIMENSIONS, where, "a number of dimensions of", len(sizes))
        _expect(min(sizes, default=0) >= -1, where, "shape", sizes)
    sparse = table.table(6) is not None
    size, bits = len(buffers[buffer]), TYPES[kind][1]
    if size and bits and not sparse:
        table.source.use(size)
        _expect(
            min(shape, default=0) >= 0 and (math.prod(shape) * bits + 7) // 8 == size,
            f"{where}, shape {shape}, type {TYPES[kind][0]},",
            "a buffer size in bytes of",
            size,
        )
    # NumPy takes no more, even where one of the dimensions is 0.
    _expect(math.prod([n for n in shape if n > 0]) * _MOST_ITEM < 2**63, where, "shape", shape)
    scale, zero_point, axis = _scaling(table.table(4), shape, where)
    return FileTensor(name, shape, kind, buffer, scale, zero_point, axis, sparse, signature, table)


def _scaling(table: Table | None, shape: tuple[int, ...], where: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Scales, zero points and their dimension: one for the tensor, or one for every slice."""
    scale = np.empty(0, np.float32) if table is None else table.array(2, "<f4")
    if table is None or not scale.size:
        return scale, np.empty(0, np.int64), 0
    zero_point, axis = table.array(3, "<i8"), table.integer(6, "i")
    table.source.use(scale.nbytes + zero_point.nbytes)
    _expect(0 <= axis < max(len(shape), 1), where, "scales along a dimension of", axis)
    fits = scale.size == 1 or (len(shape) > 0 and shape[axis] in (scale.size, -1))
    _expect(fits, f"{where}, shape {shape},", "a number of scales of", scale.size)
    _expect(zero_point.size in (0, 1, scale.size), where, "a number of zero points of", zero_point.size)
    return scale, zero_point, axis
