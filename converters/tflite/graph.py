"""TensorFlow Lite flatbuffers as Python objects that reference each other.

Editing a graph means editing :class:`Op` and :class:`Tensor` objects; indices exist only in
:func:`converters.tflite.reader.load` and :func:`converters.tflite.writer.save`. What is no longer referenced is left
out of the saved file. A graph that others still need is cloned before it is edited.
"""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import FileFormatError
from converters.tflite.op_names import op_name
from converters.tflite.packing import unpack_codes

FILE_IDENTIFIER = b"TFL3"

TensorType = schema.TensorType
BuiltinOperator = schema.BuiltinOperator
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
        """The constant as an array of ``shape``; INT4 unpacked to int8.

        Raises:
            FileFormatError: It is none, or not a plain array of a type that NumPy has.
        """
        if self.data is None:
            raise FileFormatError(f"tensor {self.name!r} is no constant, where its values are needed")
        if self.type != TensorType.INT4 and self.type not in NUMPY_TYPES:
            raise FileFormatError(f"constant {self.name!r} has type {TYPE_NAMES[self.type]}, which is not read here")
        if getattr(self.raw, "sparsity", None) is not None:
            raise FileFormatError(f"constant {self.name!r} is stored sparse, which is not read here")
        if self.type == TensorType.INT4:
            return unpack_codes(self.data, int(np.prod(self.shape)), bits=4, dtype=np.dtype(np.int8)).reshape(
                self.shape
            )
        return np.frombuffer(self.data, NUMPY_TYPES[self.type]).reshape(self.shape)

    @property
    def scale(self) -> float:
        """Per-tensor scale of an activation; FileFormatError if it has none."""
        return float(self._quantized().scale[0])

    @property
    def zero_point(self) -> int:
        """Per-tensor zero point of an activation; FileFormatError if it has none."""
        return int(self._quantized().zero_point[0])

    def _quantized(self) -> Quantization:
        if self.quantization is None:
            raise FileFormatError(f"tensor {self.name!r} has no scale, where that of an integer tensor is needed")
        return self.quantization


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
        return self.custom_code or op_name(self.code)

    def input(self, index: int) -> Tensor:
        """Input ``index``, which must be present.

        Raises:
            FileFormatError: It is not, as in a damaged file.
        """
        tensor = self.optional_input(index)
        if tensor is None:
            raise FileFormatError(f"{self.name} has no input {index}: the file is corrupt")
        return tensor

    def optional_input(self, index: int | None) -> Tensor | None:
        """Input ``index``; None where it is left out, or the operator has no place for it."""
        return self.inputs[index] if index is not None and index < len(self.inputs) else None


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

    def ancestors(self, targets: Iterable[Tensor], starts: Collection[Tensor] = ()) -> list[Op]:
        """The ops that ``targets`` depend on, in execution order; those that only ``starts`` depend on are left out."""
        wanted = set(targets).difference(starts)
        found = []
        for op in reversed(self.ops):
            if not wanted.isdisjoint(op.outputs):
                wanted.update(t for t in op.inputs if t is not None and t not in starts)
                found.append(op)
        return found[::-1]

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

    def with_ops(self, ops: Sequence[Op]) -> Model:
        """This model with other operators in its main graph, over the same tensors; this one stays as it is."""
        main = replace(self.graph, ops=list(ops))
        signatures = [replace(s, graph=main) if s.graph is self.graph else s for s in self.signatures]
        return replace(self, graphs=[main, *self.graphs[1:]], signatures=signatures)

    def clone(self) -> Clone:
        """A copy to edit; only constant data are shared."""
        tensors: dict[Tensor, Tensor] = {}
        ops: dict[Op, Op] = {}

        for tensor in (t for graph in self.graphs for t in graph.tensors()):
            tensors.setdefault(tensor, replace(tensor))
        for op in (op for graph in self.graphs for op in graph.ops):
            ops[op] = replace(
                op,
                inputs=[None if t is None else tensors[t] for t in op.inputs],
                outputs=[tensors[t] for t in op.outputs],
                intermediates=[tensors[t] for t in op.intermediates],
                options=copy.copy(op.options),
            )
        graphs = {
            g: Graph([tensors[t] for t in g.inputs], [tensors[t] for t in g.outputs], [ops[op] for op in g.ops], g.name)
            for g in self.graphs
        }
        signatures = [
            Signature(
                s.key,
                [(name, tensors[t]) for name, t in s.inputs],
                [(name, tensors[t]) for name, t in s.outputs],
                graphs[s.graph],
            )
            for s in self.signatures
        ]
        model = replace(self, graphs=list(graphs.values()), signatures=signatures, metadata=dict(self.metadata))
        return Clone(model, ops, tensors)


@dataclass(frozen=True, eq=False)
class Clone:
    """A copied model and where its parts come from.

    Attributes:
        model: the copy.
        ops, tensors: those of the original -> those of the copy.
    """

    model: Model
    ops: Mapping[Op, Op]
    tensors: Mapping[Tensor, Tensor]
