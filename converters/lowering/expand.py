"""Expand at load: a compact file becomes, in memory, the int8 file that runs as fast as stock.

A compact file keeps each layer as the ops of its points, stored as INT4: small at rest, but convolutions run slowly
that way. Here every layer becomes one int8 op again. The integers are those that ``lowering="fused"`` writes for the
same points, and so are the outputs. Layers are told from the user's own branches by the names that
:mod:`converters.lowering.parallel` and :mod:`converters.lowering.split` give to their tensors.

Needs NumPy and the schema, neither TensorFlow nor a runtime. Functions here share no state: any thread may call them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError, OptionError
from converters.layers.kinds import CONV, DENSE, kind_of, weights_of
from converters.lowering.build import bias_tensor, constant_weight, copy_op
from converters.lowering.ops import make_op
from converters.points import MultipointWeight, Point, merge
from converters.printable import shown
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save

_WEIGHT = re.compile(r"(.+)/(?:points\d+/weight\d+|int[48]/weight)", re.DOTALL)
_PART = re.compile(r"(.+?)(?:#\d+)?/(?:points\d+/(?:point\d+|sum\d+|out|in)|int[48]/out|ordered)", re.DOTALL)
_INT32 = np.iinfo(np.int32)
_CONV_VERSION = 3  # per-channel int8 weights
_SAME = 0  # schema.Padding
# Changed files: shapes that do not fit, options that are missing, tensors that nothing computes, circles.
_CORRUPT = (AssertionError, AttributeError, LookupError, RecursionError, ValueError)


def expand(content: bytes) -> bytes:
    """Turns a compact file into the int8 file of the same network that runs at stock int8's speed.

    Exact: the result's outputs are those of ``lowering="fused"`` for the same points. Layers whose points do not merge
    into int8 rows (other algorithms than radix) keep one op a point, with int8 weights. A file in which nothing is to
    be expanded comes back as it is.

    Args:
        content: a .tflite file that tfmpq wrote, best with ``lowering="compact"``.

    Raises:
        FileFormatError: The file is not tfmpq's, or it is corrupt.
        OptionError: ``content`` is no bytes.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise OptionError(f"{shown(content)} is no content of a .tflite file. Give bytes, those that open() reads.")
    content = bytes(content)
    model = load(content)
    record = _read_record(model)
    try:
        merged = _Expansion(model.graph).run()
        if merged is None:
            return content
        layers = record.get("layers")
        if isinstance(layers, dict):
            for entry in (layers[name] for name in merged & layers.keys()):
                if isinstance(entry, list) and len(entry) > 2:
                    entry[2] = "fused"  # the form
        model.metadata[METADATA_NAME] = pack_record(record)
        return save(model)
    except _CORRUPT as error:
        known = {RecursionError: "its ops go in a circle", KeyError: "a tensor is read that nothing computes"}
        reason = known.get(type(error), str(error))
        raise FileFormatError(f"the file's layers cannot be expanded: {reason}. Convert the model again.") from error


def _read_record(model: Model) -> dict[str, object]:
    entry = model.metadata.get(METADATA_NAME)
    if entry is not None:
        return unpack_record(entry)
    weights = (tensor for op in model.graph.ops for tensor in weights_of(op))
    floats = any(t.type == TensorType.FLOAT32 for t in weights)
    raise FileFormatError(
        f"not a file of tfmpq's: {'a float model, and ' if floats else ''}the metadata entry '{METADATA_NAME}' is "
        "missing. expand takes what tfmpq.convert(..., lowering='compact') writes; other .tflite "
        "files run as they are."
    )


@dataclass(frozen=True)
class _Rows:
    """Rows of one layer, computed by one of its ops or by several together.

    Attributes:
        codes: int8 (n, d).
        scale: float32 (n,).
        bias: int64 (n,), in units of the input's scale times ``scale``.
        activation: fused activation of their results.
        op: an op that computes some of them.
        source: activation they read, the layer's input.
        start: where a depthwise layer's rows start among the input's channels.
    """

    codes: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    activation: int
    op: Op
    source: Tensor
    start: int


class _NotMergeableError(Exception):
    """Points of a layer add up to no int8 row."""


class _Expansion:
    """Rewrites one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = graph.producers()
        self.readers = graph.consumers()
        self.layers = {_layer_name(op) for op in graph.ops} - {""}
        self.weights: dict[str, Tensor] = {}  # by layer: ops that share a layer share its weight
        self.walked: list[Op] = []  # ops of the layer at hand

    def run(self) -> set[str] | None:
        """Names of the layers that are one int8 op now; None if the graph is as it was."""
        merged: set[str] = set()
        places: dict[Op, Op | None] = {}
        for op in self.graph.ops:
            if not self._ends_layer(op):
                continue
            self.walked.clear()
            try:
                rows = self._layer(op)
            except _NotMergeableError:
                continue
            name = _layer_name(rows.op)
            places |= dict.fromkeys(self.walked)
            places[op] = self._fused(name, rows, op.outputs[0])
            merged.add(name)
        self.graph.ops = [new for op in self.graph.ops if (new := places.get(op, op)) is not None]
        unpacked = sum(_unpack(op) for op in self.graph.ops)
        return merged if places or unpacked else None

    def _ends_layer(self, op: Op) -> bool:
        """Whether the op writes the output of a layer that is several ops or stored as INT4."""
        if len(op.outputs) != 1 or self._is_part(op.outputs[0]):
            return False
        if kind_of(op) is not None:
            return _layer_name(op) != "" and weights_of(op)[0].type == TensorType.INT4
        return any(self._is_part(t) for t in op.inputs if t is not None)

    def _is_part(self, tensor: Tensor) -> bool:
        found = _PART.fullmatch(tensor.name)
        return found is not None and found[1] in self.layers

    # ------------------------------------------------------------ reading

    def _layer(self, op: Op) -> _Rows:
        """The rows that ``op`` and those before it in its layer compute."""
        if kind_of(op) is not None:
            result = self._point(op)
        elif op.code == BuiltinOperator.ADD:
            result = self._sum(op)
        elif op.code == BuiltinOperator.CONCATENATION:
            result = self._joined([self._layer(self._part(t)) for t in op.inputs])
        elif op.code == BuiltinOperator.GATHER:
            whole, order = self._layer(self._part(op.inputs[0])), op.input(1).array()
            if sorted(order.tolist()) != list(range(len(whole.codes))):
                raise _damaged(_layer_name(whole.op), "its GATHER does not take every row once")
            taken = (whole.codes[order], whole.scale[order], whole.bias[order])
            result = _Rows(*taken, whole.activation, whole.op, whole.source, whole.start)
        else:
            raise _damaged(op.outputs[0].name, f"a {op.name} stands among its ops")
        self.walked.append(op)
        return result

    def _part(self, tensor: Tensor | None) -> Op:
        """The op that writes a part of a layer, which nothing else may read."""
        op = None if tensor is None else self.producers.get(tensor)
        if tensor is None or op is None or not self._is_part(tensor):
            raise _damaged("" if tensor is None else tensor.name, "one of its parts is missing")
        if len(self.readers[tensor]) != 1 or tensor in self.graph.outputs:
            raise _damaged(tensor.name, "its parts are read elsewhere")
        return op

    def _point(self, op: Op) -> _Rows:
        kind, name = kind_of(op), _layer_name(op)
        assert kind is not None, op.name
        activation, weight_slot, bias_slot = kind.site
        weight = op.input(weight_slot)
        scaling, bias = weight.quantization, op.optional_input(bias_slot)
        if not name or scaling is None or scaling.zero_point.any() or bias is None or bias.data is None:
            raise _damaged(name or op.outputs[0].name, f"a {op.name} lacks its weight, scales or bias")
        codes = kind.rows(weight.array())
        if not len(codes) == scaling.scale.size == bias.array().size:
            raise _damaged(name, f"{len(codes)} rows have {scaling.scale.size} scales and {bias.array().size} biases")
        source, start = op.input(activation), 0
        cut = self.producers.get(source)
        if kind.per_channel and cut is not None and cut.code == BuiltinOperator.SLICE and self._is_part(source):
            source, start = cut.input(0), int(cut.input(1).array()[-1])
            self.walked.append(cut)
        fused = op.options.fusedActivationFunction
        return _Rows(codes, scaling.scale, bias.array().astype(np.int64), fused, op, source, start)

    def _sum(self, op: Op) -> _Rows:
        """Merged rows of an ADD, whose inputs come with the larger points first."""
        found = self._summands(op)
        first = found[0]
        if any((p.source, p.start, p.codes.shape) != (first.source, first.start, first.codes.shape) for p in found):
            raise _damaged(_layer_name(first.op), "its points do not fit together")
        counts = np.full(len(first.codes), len(found))
        row = merge(MultipointWeight(tuple(Point(p.codes, p.scale) for p in found), counts, 8))
        if row is None:
            raise _NotMergeableError
        bias = sum(np.rint(p.scale.astype(np.float64) / row.scale).astype(np.int64) * p.bias for p in found)
        activation = op.options.fusedActivationFunction
        return _Rows(row.codes, row.scale, np.asarray(bias), activation, first.op, first.source, first.start)

    def _summands(self, op: Op) -> list[_Rows]:
        if kind_of(op) is not None:
            found = [self._point(op)]
        elif op.code == BuiltinOperator.ADD:
            found = [rows for t in op.inputs for rows in self._summands(self._part(t))]
        else:
            raise _damaged(op.outputs[0].name, f"a {op.name} stands among its points")
        self.walked.append(op)
        return found

    def _joined(self, parts: Sequence[_Rows]) -> _Rows:
        first, name = parts[0], _layer_name(parts[0].op)
        starts = np.cumsum([0, *(len(p.codes) for p in parts)])
        for part, start in zip(parts, starts, strict=False):
            same = part.source is first.source and part.activation == first.activation
            kind = kind_of(part.op)
            tied = kind is not None and kind.per_channel
            if not same or _layer_name(part.op) != name or part.start != (start if tied else 0):
                raise _damaged(name, "its parts do not fit together")
        # A dense op stands for a 1x1 convolution: a convolution says how the input is read.
        op = next((p.op for p in parts if kind_of(p.op) is not DENSE), first.op)
        codes, scale, bias = (np.concatenate([getattr(p, what) for p in parts]) for what in ("codes", "scale", "bias"))
        return _Rows(codes, scale, bias, first.activation, op, first.source, 0)

    # ------------------------------------------------------------ writing

    def _fused(self, name: str, rows: _Rows, target: Tensor) -> Op:
        kind = kind_of(rows.op)
        assert kind is not None, rows.op.name
        _, weight_slot, bias_slot = kind.site
        old = rows.op.input(weight_slot).shape
        pointwise = kind is DENSE and len(target.shape) == 4
        if pointwise:
            kind, old = CONV, (len(rows.codes), 1, 1, rows.codes.shape[1])
        if name not in self.weights:
            self.weights[name] = constant_weight(f"{name}/weight", kind, rows.codes, rows.scale, old)
        use = _use(rows.op.input(bias_slot or 0).name, name)
        if rows.bias.size and (rows.bias.min() < _INT32.min or rows.bias.max() > _INT32.max):
            raise _damaged(name, "its biases leave int32")
        bias = bias_tensor(f"{name}/bias{use}", rows.bias, rows.source.scale, rows.scale)
        if pointwise:
            inputs: list[Tensor | None] = [rows.source, self.weights[name], bias]
            options = {"fusedActivationFunction": rows.activation, "padding": _SAME, "strideH": 1, "strideW": 1}
            return make_op(BuiltinOperator.CONV_2D, inputs, [target], _CONV_VERSION, "Conv2DOptions", **options)
        shape = kind.output_shape(rows.op)
        if shape is not None and shape.data is not None:
            whole = np.array([*shape.array()[:-1], len(rows.codes)], np.int32)
            shape = Tensor(f"{name}/shape{use}", shape.shape, shape.type, whole.tobytes())
        inputs = kind.inputs(rows.source, self.weights[name], bias, shape=shape)
        return copy_op(rows.op, inputs, [target], fusedActivationFunction=rows.activation)


def _layer_name(op: Op) -> str:
    """Layer whose points the op's weight holds, "" if it is no op of a lowering."""
    weights = weights_of(op)
    found = _WEIGHT.fullmatch(weights[0].name) if weights else None
    return "" if found is None else found[1]


def _use(bias: str, layer: str) -> str:
    """What a fused op of this use adds to the name of its bias: nothing, or "_1" for the second use and so on."""
    number = bias[len(layer) :].partition("/")[0]
    return number.replace("#", "_")


def _unpack(op: Op) -> bool:
    """Gives the op int8 weights if a lowering stored them as INT4."""
    kind = kind_of(op)
    if kind is None or not _layer_name(op):
        return False
    slot = kind.site.weight
    weight = op.input(slot)
    if weight.type != TensorType.INT4:
        return False
    data = weight.array().tobytes()
    op.inputs[slot] = Tensor(weight.name, weight.shape, TensorType.INT8, data, weight.quantization)
    return True


def _damaged(where: str, why: str) -> FileFormatError:
    return FileFormatError(
        f"layer {where!r} cannot be expanded: {why}. The file was changed after tfmpq wrote it, or is corrupt: convert "
        "the model again."
    )
