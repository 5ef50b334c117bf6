"""From the bytes of a .tflite file to objects that can be edited."""

from __future__ import annotations

import copy
import zipfile
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table as SchemaTable

from converters.errors import FileFormatError
from converters.tflite.attachments import read_attachments
from converters.tflite.graph import FILE_IDENTIFIER, Graph, Model, Op, Quantization, Signature, Tensor
from converters.tflite.model_file import FileOp, FileTensor, ModelFile, read_model
from converters.tflite.tables import Source, Table


def load(content: bytes) -> Model:
    """Parses a .tflite file.

    Raises:
        FileFormatError: The bytes are not a complete TensorFlow Lite flatbuffer.
    """
    if len(content) < 8 or bytes(content[4:8]) != FILE_IDENTIFIER:
        raise FileFormatError(
            "not a TensorFlow Lite file: the identifier 'TFL3' is missing at byte 4. Pass the bytes of a .tflite file."
        )
    attachments = read_attachments(content)
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
    copies = {id(b): bytes(b) or None for b in {id(b): b for b in file.buffers}.values()}
    buffers = [copies[id(b)] for b in file.buffers]
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
        sparsity = table.table(6)
        for owner, field in ((table, 9), (sparsity, 2)):  # the generated reader makes objects of these tables
            if owner is not None:
                owner.tables(field)
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
    _count(options, table.source)
    return options


def _schema_object(reader: Any, result: Any, table: Table) -> Any:
    found = reader()
    found.Init(table.source.data, table.position)
    made = result.InitFromObj(found)
    _count(made, table.source)
    return made


def _count(made: Any, source: Source) -> None:
    """Counts the vectors and strings of a schema object: those of many objects may be one place of the file."""
    for value in vars(made).values() if made is not None else ():
        if isinstance(value, np.ndarray):
            source.use(value.nbytes)
        elif isinstance(value, (bytes, str)):
            source.copy(len(value))
        elif hasattr(value, "__dict__"):
            _count(value, source)
