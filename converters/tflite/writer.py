"""From graph objects to the bytes of a .tflite file, always the same ones."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite.attachments import append_attachments
from converters.tflite.graph import FILE_IDENTIFIER, Model, Op, Signature, Tensor
from converters.tflite.sharing import TableSharing, VectorSharing

BUFFER_ALIGNMENT = 16  # what the runtime's kernels expect of constant data


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


def save(model: Model, *, tables: bool = True) -> bytes:
    """Serializes deterministically: no unreferenced tensors or buffers, constants 16-byte aligned.

    Args:
        model: what to write.
        tables: whether equal tables, names and shapes are written once, as equal rows of numbers are in any case; the
            app's own expander leaves that out, for files that live in memory.
    """
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
    builder = (TableSharing if tables else VectorSharing)(sum(len(b) + 64 for b in buffers) + structure + 4096)
    builder.Finish(raw.Pack(builder), file_identifier=FILE_IDENTIFIER)
    content = bytes(memoryview(builder.Bytes)[builder.head :])  # Output() makes a copy more
    return append_attachments(content, model.attachments)


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
