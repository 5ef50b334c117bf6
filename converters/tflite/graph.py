"""TensorFlow Lite flatbuffers as Python objects that reference each other.

Editing a graph means editing :class:`Op` and :class:`Tensor` objects; indices exist only in :func:`load` and
:func:`save`. What is no longer referenced is left out of the saved file.
"""

from __future__ import annotations

import copy
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table as SchemaTable

from converters.errors import FileFormatError
from converters.tflite.model_file import FileOp, FileTensor, ModelFile, read_model
from converters.tflite.tables import Table

BUFFER_ALIGNMENT = 16  # what the runtime's kernels expect of constant data
FILE_IDENTIFIER = b"TFL3"

TensorType = schema.TensorType
BuiltinOperator = schema.BuiltinOperator
OP_NAMES: dict[int, str] = {v: k for k, v in vars(BuiltinOperator).items() if isinstance(v, int)}
TYPE_NAMES: dict[int, str] = {v: k for k, v in vars(TensorType).items() if isinstance(v, int)}
NUMPY_TYPES: dict[int, np.dtype] = {
    TensorType.FLOAT32: np.dtype(np.float32),
    TensorType.FLOAT16: np.dtype(np.float16),
    TensorType.INT8: np.dtype(np.int8),
    TensorType.UINT8: np.dtype(np.uint8),
    TensorType.INT16: np.dtype(np.int16),
    TensorType.INT32: np.dtype(np.int32),
    TensorType.INT64: np.dtype(np.int64),
    TensorType.BOOL: np.dtype(np.bool_),
}


@dataclass(frozen=True)
class Quantization:
    """Affine quantization: real = scale * (integer - zero_point), per tensor or along ``axis``."""

    scale: np.ndarray  # float32, (1,) or (channels,)
    zero_point: np.ndarray  # int64, same shape
    axis: int = 0


@dataclass(eq=False)
class Tensor:
    """One tensor; ``data`` is the raw constant buffer, None for activations and variables."""

    name: str
    shape: tuple[int, ...]
    type: int
    data: bytes | None = None
    quantization: Quantization | None = None
    shape_signature: tuple[int, ...] | None = None
    raw: Any = None  # the schema object where there is more: variables, sparsity, whatever is carried over untouched

    def array(self) -> np.ndarray:
        """The constant as an array of ``shape``; INT4 unpacked to int8."""
        if self.data is None:
            raise ValueError(f"tensor {self.name!r} is no constant")
        if self.type == TensorType.INT4:
            return unpack_int4(self.data, int(np.prod(self.shape))).reshape(self.shape)
        return np.frombuffer(self.data, NUMPY_TYPES[self.type]).reshape(self.shape)

    @property
    def scale(self) -> float:
        """Per-tensor scale of an activation."""
        assert self.quantization is not None, self.name
        return float(self.quantization.scale[0])

    @property
    def zero_point(self) -> int:
        """Per-tensor zero point of an activation."""
        assert self.quantization is not None, self.name
        return int(self.quantization.zero_point[0])


@dataclass(eq=False)
class Op:
    """One operator; ``inputs`` may hold None for an omitted optional input."""

    code: int
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    version: int = 1
    options_type: int = 0
    options: Any = None
    custom_code: str | None = None
    intermediates: list[Tensor] = field(default_factory=list)
    raw: Any = None  # the schema object where there is more: custom options and what else is carried over untouched

    @property
    def name(self) -> str:
        """Operator name as the schema spells it, e.g. ``CONV_2D``."""
        return self.custom_code or OP_NAMES.get(self.code, f"BUILTIN_{self.code}")

    def input(self, index: int) -> Tensor:
        """Input ``index``, which must be present."""
        tensor = self.inputs[index]
        assert tensor is not None, f"{self.name} has no input {index}"
        return tensor


@dataclass(eq=False)
class Graph:
    """One subgraph."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    ops: list[Op]
    name: str = ""

    def consumers(self) -> dict[Tensor, list[Op]]:
        """Ops that read each tensor, in execution order."""
        result: dict[Tensor, list[Op]] = {}
        for op in self.ops:
            for tensor in dict.fromkeys(t for t in op.inputs if t is not None):
                result.setdefault(tensor, []).append(op)
        return result

    def producers(self) -> dict[Tensor, Op]:
        """The op that writes each tensor."""
        return {tensor: op for op in self.ops for tensor in op.outputs}

    def tensors(self) -> Iterator[Tensor]:
        """Every referenced tensor once, in order of first use."""
        seen: dict[Tensor, None] = dict.fromkeys(self.inputs)
        for op in self.ops:
            seen.update(dict.fromkeys(t for t in op.inputs if t is not None))
            seen.update(dict.fromkeys(op.intermediates))
            seen.update(dict.fromkeys(op.outputs))
        seen.update(dict.fromkeys(self.outputs))
        return iter(seen)


@dataclass(eq=False)
class Signature:
    """A named entry point: (argument name, tensor) pairs."""

    key: str
    inputs: list[tuple[str, Tensor]]
    outputs: list[tuple[str, Tensor]]
    graph: Graph


@dataclass(eq=False)
class Model:
    """A whole file. ``attachments`` are the members of a zip appended to the flatbuffer (associated files)."""

    graphs: list[Graph]
    signatures: list[Signature]
    metadata: dict[str, bytes]
    description: str = ""
    version: int = 3
    attachments: list[tuple[zipfile.ZipInfo, bytes]] = field(default_factory=list)

    @property
    def graph(self) -> Graph:
        """The main subgraph."""
        return self.graphs[0]


def pack_int4(codes: np.ndarray) -> bytes:
    """Codes -8..7 two a byte, low nibble first, the last nibble zero when the count is odd."""
    flat = codes.astype(np.int8).reshape(-1)
    if flat.size % 2:
        flat = np.append(flat, np.int8(0))
    nibbles = flat.view(np.uint8) & 0x0F
    return (nibbles[0::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()


def unpack_int4(data: bytes, count: int) -> np.ndarray:
    """Inverse of :func:`pack_int4`."""
    packed = np.frombuffer(data, np.uint8)
    both = np.stack([packed << 4, packed & 0xF0], axis=1).astype(np.uint8)
    return (both.view(np.int8) >> 4).reshape(-1)[:count]


# ---------------------------------------------------------------- reading


def load(content: bytes) -> Model:
    """Parses a .tflite file.

    Raises:
        FileFormatError: The bytes are not a complete TensorFlow Lite flatbuffer.
    """
    if len(content) < 8 or bytes(content[4:8]) != FILE_IDENTIFIER:
        raise FileFormatError(
            "not a TensorFlow Lite file: the identifier 'TFL3' is missing at byte 4. Pass the bytes of a .tflite file."
        )
    attachments = _read_attachments(content)
    try:
        return _build(read_model(content), content, attachments)  # both follow offsets of the file
    except FileFormatError as error:
        raise FileFormatError(f"{error}. Convert or download the model again.") from error
    except Exception as error:  # the generated reader of options raises whatever a bad offset leads to
        raise FileFormatError(
            f"corrupt TensorFlow Lite file ({len(content)} bytes): {type(error).__name__}: {error}. "
            "Convert or download the model again."
        ) from error


def _build(file: ModelFile, content: bytes, attachments: list[tuple[zipfile.ZipInfo, bytes]]) -> Model:
    buffers = [bytes(b) or None for b in file.buffers]
    graphs, tables = [], []
    known: dict[Any, Any] = {}
    for read in file.graphs:
        tensors = [_read_tensor(t, buffers) for t in read.tensors]
        ops = [_read_op(op, tensors, content, known) for op in read.ops]
        graphs.append(Graph([tensors[i] for i in read.inputs], [tensors[i] for i in read.outputs], ops, read.name))
        tables.append(tensors)
    signatures = [
        Signature(
            s.key,
            [(name, tables[s.graph][i]) for name, i in s.inputs],
            [(name, tables[s.graph][i]) for name, i in s.outputs],
            graphs[s.graph],
        )
        for s in file.signatures
    ]
    metadata = {name: bytes(data) for name, data in file.metadata.items()}
    return Model(graphs, signatures, metadata, file.description, file.version, attachments)


# Fields of the schema that are carried over as the schema's objects, where a file has them.
_RARE_TENSOR_FIELDS = (5, 6, 8, 9)  # is_variable, sparsity, has_rank, variant_tensors
_RARE_OP_FIELDS = (5, 6, 7, 9, 10, 11, 12)  # custom options, mutating inputs, large custom options, second options


def _read_tensor(read: FileTensor, buffers: list[bytes | None]) -> Tensor:
    quantization = None
    if read.scale.size:
        zero_point = read.zero_point if read.zero_point.size else np.zeros(read.scale.size, np.int64)
        quantization = Quantization(read.scale, zero_point, read.axis)
    raw, table = None, read.table
    assert table is not None
    scaling = table.table(4)
    if table.has(*_RARE_TENSOR_FIELDS) or (scaling is not None and (quantization is None or scaling.has(4, 5))):
        raw = _schema_object(schema.Tensor, schema.TensorT, table)
    return Tensor(read.name, read.shape, read.type, buffers[read.buffer], quantization, read.shape_signature, raw)


def _read_op(read: FileOp, tensors: list[Tensor], content: bytes, known: dict[Any, Any]) -> Op:
    raw, table = None, read.table
    if table.has(*_RARE_OP_FIELDS):
        raw = _schema_object(schema.Operator, schema.OperatorT, table)
        if raw.largeCustomOptionsOffset > 1:
            start = raw.largeCustomOptionsOffset
            raw.customOptions = np.frombuffer(content, np.uint8)[start : start + raw.largeCustomOptionsSize]
            raw.largeCustomOptionsOffset = raw.largeCustomOptionsSize = 0
    kind = table.integer(3, "B")
    return Op(
        read.code,
        [None if i < 0 else tensors[i] for i in read.inputs],
        [tensors[i] for i in read.outputs],
        read.version,
        kind,
        _read_options(kind, table.table(4), content, known),
        read.custom_code,
        [tensors[i] for i in read.intermediates],
        raw,
    )


def _read_options(kind: int, table: Table | None, content: bytes, known: dict[Any, Any]) -> Any:
    """The schema's object of an op's options; ``known`` keeps those read before, since reading is slow."""
    if table is None:
        return None
    key = (kind, table.key())
    if key in known:
        return copy.copy(known[key])
    options = schema.BuiltinOptionsCreator(kind, SchemaTable(content, table.position))
    if options is not None and all(isinstance(value, (int, float)) for value in vars(options).values()):
        known[key] = copy.copy(options)
    return options


def _schema_object(reader: Any, result: Any, table: Table) -> Any:
    found = reader()
    found.Init(table.data, table.position)
    return result.InitFromObj(found)


def _read_attachments(content: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    stream = io.BytesIO(content)
    # A zip is appended by the metadata tools; weights can hold the signature by chance, so the archive must parse.
    if not zipfile.is_zipfile(stream):
        return []
    try:
        with zipfile.ZipFile(stream) as archive:
            return [(info, archive.read(info)) for info in archive.infolist()]
    except zipfile.BadZipFile as error:
        raise FileFormatError(
            f"the file carries an appended archive of associated files that cannot be read ({error}). "
            "Write the model without it and attach the files again afterwards."
        ) from error


# ---------------------------------------------------------------- writing


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors once: most zero points are rows of zeros, 5 % of a file of 4-bit weights.

    Single numbers are always written: the size of a file must not depend on the values of an activation's scale.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.known: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (the library's name)
        if x.size == 1:
            return super().CreateNumpyVector(x)
        key = (x.dtype.str, x.tobytes())
        if key not in self.known:
            self.known[key] = super().CreateNumpyVector(x)
        return self.known[key]


class _AlignedBuffer(schema.BufferT):
    """Buffer whose data start on a 16-byte boundary; the generated object API aligns to 4."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the schema's name)
        vector = None
        if self.data is not None:
            data = bytes(self.data)
            builder.StartVector(1, len(data), BUFFER_ALIGNMENT)
            builder.head = builder.head - len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def save(model: Model) -> bytes:
    """Serializes deterministically: no unreferenced tensors or buffers, constants 16-byte aligned."""
    buffers: dict[bytes, int] = {b"": 0}  # equal constants share one buffer; 0 is the schema's empty buffer
    codes: dict[tuple[int, str | None, int], int] = {}
    raw = schema.ModelT()
    raw.version, raw.description = model.version, model.description
    raw.subgraphs, index = [], {}
    for graph in model.graphs:
        subgraph = schema.SubGraphT()
        tensors = list(graph.tensors())
        index[graph] = {tensor: i for i, tensor in enumerate(tensors)}
        place = index[graph]
        subgraph.tensors = [_write_tensor(t, buffers.setdefault(t.data or b"", len(buffers))) for t in tensors]
        subgraph.inputs = [place[t] for t in graph.inputs]
        subgraph.outputs = [place[t] for t in graph.outputs]
        subgraph.operators = [_write_op(op, codes, place) for op in graph.ops]
        subgraph.name = graph.name or None
        raw.subgraphs.append(subgraph)
    raw.operatorCodes = [_operator_code(*key) for key in codes]
    raw.signatureDefs = [_write_signature(s, model.graphs.index(s.graph), index[s.graph]) for s in model.signatures]
    raw.metadata = []
    for name, data in model.metadata.items():
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, buffers.setdefault(data, len(buffers))
        raw.metadata.append(entry)
    raw.buffers = []
    for data in buffers:
        buffer: Any = _AlignedBuffer()  # the schema's annotation knows lists of numbers only
        buffer.data = data or None
        raw.buffers.append(buffer)
    # Room for the constants, their alignment and the structure: a builder that runs out copies all it holds.
    structure = sum(len(t.name) + 400 + 12 * _scales(t) for g in model.graphs for t in g.tensors())
    builder = _SharingBuilder(sum(len(b) + 64 for b in buffers) + structure + 4096)
    builder.Finish(raw.Pack(builder), file_identifier=FILE_IDENTIFIER)
    content = bytes(memoryview(builder.Bytes)[builder.head :])  # Output() makes a copy more
    return _append_attachments(content, model.attachments)


def _scales(tensor: Tensor) -> int:
    return 0 if tensor.quantization is None else tensor.quantization.scale.size


def _write_tensor(tensor: Tensor, buffer: int) -> Any:
    raw: Any = schema.TensorT()
    if tensor.raw is not None:
        raw.isVariable, raw.sparsity = tensor.raw.isVariable, tensor.raw.sparsity
        raw.variantTensors, raw.hasRank = tensor.raw.variantTensors, tensor.raw.hasRank
    raw.name, raw.type, raw.buffer = tensor.name, tensor.type, buffer
    raw.shape = np.array(tensor.shape, np.int32)
    raw.shapeSignature = None if tensor.shape_signature is None else np.array(tensor.shape_signature, np.int32)
    if tensor.quantization is not None:
        scaling: Any = schema.QuantizationParametersT()
        scaling.scale = tensor.quantization.scale.astype(np.float32)
        scaling.zeroPoint = tensor.quantization.zero_point.astype(np.int64)
        scaling.quantizedDimension = tensor.quantization.axis
        raw.quantization = scaling
    elif tensor.raw is not None:
        raw.quantization = tensor.raw.quantization
    return raw


def _write_op(op: Op, codes: dict[tuple[int, str | None, int], int], place: dict[Tensor, int]) -> Any:
    raw = schema.OperatorT()
    if op.raw is not None:
        raw.customOptions, raw.customOptionsFormat = op.raw.customOptions, op.raw.customOptionsFormat
        raw.mutatingVariableInputs = op.raw.mutatingVariableInputs
        raw.builtinOptions2Type, raw.builtinOptions2 = op.raw.builtinOptions2Type, op.raw.builtinOptions2
    key = (op.code, op.custom_code, op.version)
    raw.opcodeIndex = codes.setdefault(key, len(codes))
    raw.inputs = [-1 if t is None else place[t] for t in op.inputs]
    raw.outputs = [place[t] for t in op.outputs]
    raw.intermediates = [place[t] for t in op.intermediates] or None
    raw.builtinOptionsType, raw.builtinOptions = op.options_type, op.options
    return raw


def _operator_code(code: int, custom_code: str | None, version: int) -> Any:
    raw = schema.OperatorCodeT()
    raw.builtinCode, raw.customCode, raw.version = code, custom_code, version
    raw.deprecatedBuiltinCode = min(code, 127)  # 127 = PLACEHOLDER_FOR_GREATER_OP_CODES
    return raw


def _write_signature(signature: Signature, subgraph: int, place: dict[Tensor, int]) -> Any:
    raw = schema.SignatureDefT()
    raw.signatureKey, raw.subgraphIndex = signature.key, subgraph
    raw.inputs = [_tensor_map(name, place[t]) for name, t in signature.inputs]
    raw.outputs = [_tensor_map(name, place[t]) for name, t in signature.outputs]
    return raw


def _tensor_map(name: str, tensor: int) -> Any:
    raw = schema.TensorMapT()
    raw.name, raw.tensorIndex = name, tensor
    return raw


def _append_attachments(content: bytes, attachments: list[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    if not attachments:
        return content
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        for info, data in attachments:
            entry = zipfile.ZipInfo(info.filename, info.date_time)
            entry.compress_type, entry.external_attr, entry.comment = (
                info.compress_type,
                info.external_attr,
                info.comment,
            )
            archive.writestr(entry, data)
    return stream.getvalue()
