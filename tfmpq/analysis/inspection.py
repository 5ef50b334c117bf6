"""What a .tflite file holds: its weights with the bits they really use, their scales and sizes, and tfmpq's own notes.

Needs NumPy only: the file is read by :mod:`converters.tflite.model_file`, not run.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.content import read_content
from converters.tflite.model_file import FileTensor, ModelFile, read_model
from converters.tflite.record import METADATA_NAME, unpack_record
from tfmpq.names_file import find_names, with_found_names
from tfmpq.text import Block, Column, Lines, Table, to_terminal

_NO_WEIGHTS = {"INT32", "INT64", "UINT32", "UINT64", "BOOL", "STRING", "RESOURCE", "VARIANT"}  # biases, shapes, indices
_COLUMNS = (
    Column("op", numeric=True),
    Column("operator"),
    Column("weight", least=16),
    Column("shape", spare=True),
    Column("type", spare=True),
    Column("bits", numeric=True),
    Column("rows by bits", least=12),
    Column("scales", numeric=True, spare=True),
    Column("scale range", numeric=True, spare=True),
    Column("bytes", numeric=True),
)
_INTEGERS = {"INT2", "INT4", "UINT4", "INT8", "UINT8", "INT16", "UINT16"}


@dataclass(frozen=True)
class Weight:
    """One constant operand of one operator.

    Attributes:
        op: number of the operator in its graph.
        op_name: such as ``CONV_2D``.
        name: the tensor's name.
        shape: its shape.
        type: its type as the schema spells it, such as ``INT8``.
        bits: bits that hold every code (two's complement, zero point taken off); None if the weight is not quantized.
        rows_by_bits: bits -> number of rows (slices along the quantized dimension) whose codes need just so many.
        scales: number of distinct scales.
        min_scale: smallest scale; None if there is none.
        max_scale: largest scale.
        bytes: size in the file.
    """

    op: int
    op_name: str
    name: str
    shape: tuple[int, ...]
    type: str
    bits: int | None
    rows_by_bits: dict[int, int]
    scales: int
    min_scale: float | None
    max_scale: float | None
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """Result of :func:`inspect`.

    Attributes:
        weights: in the order of the operators; a tensor that several operators share appears with each of them.
        ops: operator name -> how many.
        file_bytes: size of the file.
        weight_bytes: size of all weights, shared ones counted once.
        deflated_bytes: size of the file compressed as in a zip or an APK.
        metadata: what tfmpq noted when it wrote the file (version, recipe, layers); None: nothing.
        signatures: keys of the file's entry points.
        signature: whose graphs ``weights``, ``ops`` and ``weight_bytes`` are of; None: all graphs.
        note: on names that are not in the file; "": they are.
    """

    weights: tuple[Weight, ...]
    ops: dict[str, int]
    file_bytes: int
    weight_bytes: int
    deflated_bytes: int
    metadata: dict[str, Any] | None
    signatures: tuple[str, ...] = ()
    signature: str | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`."""
        # The notes are to be copied, a recipe for instance: they are not wrapped.
        return (
            _weight_table(self.weights),
            Lines(tuple(_totals(self))),
            Lines(tuple(_notes(self.metadata)), code=True),
        )

    def __str__(self) -> str:
        return to_terminal(self.blocks())


def inspect(model: bytes | str | os.PathLike[str], *, signature: str | None = None) -> Inspection:
    """Lists the weights of a .tflite file.

    Args:
        model: content or path.
        signature: only those of this one's graph and of what it calls; None: of all graphs. Sizes of the file and
            tfmpq's notes are the whole file's.

    Raises:
        FileFormatError: The file cannot be read or is corrupt.
        OptionError: It has no such signature.
    """
    content, label = read_content(model)
    try:
        whole, found = read_model(content), find_names(model, content)
        if found.names is not None:
            whole = found.names.within(whole)
        file = whole
        if signature is not None:
            from converters.frontend.entry_file import entry_alone  # loads the schema, which the rest does without

            part = model if found.names is None else with_found_names(model, content)[0]
            file = read_model(entry_alone(part, signature))
        return Inspection(
            weights=tuple(_weights(file)),
            ops=dict(collections.Counter(op.name for graph in file.graphs for op in graph.ops).most_common()),
            file_bytes=len(content),
            weight_bytes=sum({t.buffer: len(file.buffers[t.buffer]) for _, _, t in _operands(file)}.values()),
            deflated_bytes=len(zlib.compress(content, 6)),
            metadata=_metadata(whole) if found.names is None else dict(found.names.record),
            signatures=tuple(s.key for s in whole.signatures),
            signature=signature,
            note=found.note,
        )
    except FileFormatError as error:
        raise FileFormatError(f"{label}: {error}") from error


def _operands(file: ModelFile) -> Iterator[tuple[int, str, FileTensor]]:
    """Every weight with the number and name of its operator. Vectors are biases and parameters, not weights."""
    for graph in file.graphs:
        for number, op in enumerate(graph.ops):
            for index in dict.fromkeys(i for i in op.inputs if i >= 0):
                tensor = graph.tensors[index]
                if len(tensor.shape) > 1 and tensor.type_name not in _NO_WEIGHTS and file.constant(tensor):
                    yield number, op.name, tensor


def _weights(file: ModelFile) -> Iterator[Weight]:
    known: dict[int, Weight] = {}  # by the tensor's identity: what many operators share is looked through once
    for number, op_name, tensor in _operands(file):
        if id(tensor) not in known:
            known[id(tensor)] = _weight(file, tensor)
        yield dataclasses.replace(known[id(tensor)], op=number, op_name=op_name)


def _weight(file: ModelFile, tensor: FileTensor) -> Weight:
    """All but the operator."""
    scale = tensor.scale
    coded = tensor.type_name in _INTEGERS and not tensor.sparse
    row_bits = _row_bits(file, tensor) if coded else np.empty(0, int)
    return Weight(
        op=0,
        op_name="",
        name=tensor.name,
        shape=tensor.shape,
        type=tensor.type_name,
        bits=int(row_bits.max(initial=1)) if coded else None,
        rows_by_bits={int(bits): int(np.count_nonzero(row_bits == bits)) for bits in np.unique(row_bits)},
        scales=len(np.unique(scale)),
        min_scale=float(scale.min()) if scale.size else None,
        max_scale=float(scale.max()) if scale.size else None,
        bytes=len(file.buffers[tensor.buffer]),
    )


def _row_bits(file: ModelFile, tensor: FileTensor) -> np.ndarray:
    """Bits each row's codes need: b bits hold -2^(b-1) .. 2^(b-1)-1."""
    codes = file.codes(tensor)
    others = tuple(i for i in range(codes.ndim) if i != tensor.axis)
    zero_point = tensor.zero_point[0] if tensor.zero_point.size == 1 else 0
    highest, lowest = (bound(axis=others).astype(np.int64) - zero_point for bound in (codes.max, codes.min))
    magnitude = np.maximum(highest, -lowest - 1)
    return np.frexp(np.maximum(magnitude, 0))[1] + 1


def _metadata(file: ModelFile) -> dict[str, Any] | None:
    entry = file.metadata.get(METADATA_NAME)
    return None if entry is None else unpack_record(entry)


def _weight_table(weights: Sequence[Weight]) -> Table:
    rows = (
        (
            str(weight.op),
            weight.op_name,
            weight.name,
            "x".join(map(str, weight.shape)),
            weight.type,
            "-" if weight.bits is None else str(weight.bits),
            " ".join(f"{bits}:{count}" for bits, count in weight.rows_by_bits.items()) or "-",
            str(weight.scales),
            "-" if weight.min_scale is None else f"{weight.min_scale:.3g}..{weight.max_scale:.3g}",
            f"{weight.bytes:,}",
        )
        for weight in weights
    )
    return Table(_COLUMNS, tuple(rows))


def _totals(inspection: Inspection) -> Iterator[str]:
    if len(inspection.signatures) > 1:
        of = "all have" if inspection.signature is None else f"{inspection.signature!r} has"
        yield f"signatures: {', '.join(map(repr, inspection.signatures))}; listed is what {of}"
    if inspection.note:
        yield inspection.note
    yield "operators: " + ", ".join(f"{count} {name}" for name, count in inspection.ops.items())
    yield (
        f"bytes: {inspection.file_bytes:,} file, {inspection.weight_bytes:,} weights, "
        f"{inspection.deflated_bytes:,} file deflated"
    )


def _notes(metadata: dict[str, Any] | None) -> Iterator[str]:
    if metadata is None:
        yield "no notes by tfmpq: not its file, or one too small for them"
        return
    yield f"notes by tfmpq {metadata.get('version', '(version unknown)')}"
    for key, value in metadata.items():
        if key == "layers" and isinstance(value, dict):
            yield "layers:"
            yield from (f"  {name}: {_describe_layer(entry)}" for name, entry in value.items())
        elif key != "version":
            yield f"{key}: {json.dumps(value)}"


def _describe_layer(entry: Any) -> str:
    """One layer's note: bits, algorithm, form, then the number of rows with one point, two points, ..."""
    if not isinstance(entry, list) or len(entry) < 4:  # by another version
        return json.dumps(entry)
    bits, algorithm, form, *rows = entry
    points = ", ".join(f"{count} rows of {number}" for number, count in enumerate(rows, 1) if count)
    return f"{bits} bits, {algorithm}, {form}, points: {points}"
