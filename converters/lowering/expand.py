"""Expand at load: a compact file becomes, in memory, the int8 file that runs as fast as stock.

A compact file keeps each layer as the ops of its points, stored as INT4: small at rest, but convolutions run slowly
that way. Here every layer becomes one int8 op again. The integers are those that ``lowering="fused"`` writes for the
same points, and so are the outputs.

Needs NumPy and the schema, neither TensorFlow nor a runtime. Functions here share no state: any thread may call them.
"""

from __future__ import annotations

import numpy as np

from converters.errors import FileFormatError, OptionError
from converters.layers.kinds import CONV, DENSE, kind_of, weights_of
from converters.lowering.build import bias_tensor, constant_weight, copy_op, float_bias
from converters.lowering.points_reader import NotMergeableError, PointsReader, Rows, damaged, layer_name
from converters.printable import shown
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save

_INT32 = np.iinfo(np.int32)
_MOST_READ = 64  # codes that may be read, in bytes of the file: layers that share a weight may be many
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
        with np.errstate(all="ignore"):  # scales of a changed file may be anything
            expansion = _Expansion(_MOST_READ * len(content))
            found = [expansion.run(graph) for graph in model.graphs]
        if all(names is None for names in found):
            return content
        merged = set[str]().union(*(names for names in found if names is not None))
        layers = record.get("layers")
        if isinstance(layers, dict):
            for entry in (layers[name] for name in merged & layers.keys()):
                if isinstance(entry, list) and len(entry) > 2:
                    entry[2] = "fused"  # the form
        model.metadata[METADATA_NAME] = pack_record(record)
        return save(model, tables=False)  # the app writes the same bytes
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


class _Expansion:
    """Rewrites the graphs of a file; ``budget``: codes that may be read of each."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        # Ops that share a layer share its weight, in other graphs too; but layers of two graphs may be namesakes.
        self.weights: dict[tuple[object, ...], Tensor] = {}

    def run(self, graph: Graph) -> set[str] | None:
        """Names of the layers that are one int8 op now; None if the graph is as it was."""
        reader = PointsReader(graph, self._budget)
        merged: set[str] = set()
        places: dict[Op, Op | None] = {}
        for op in graph.ops:
            if not _ends_layer(op, reader):
                continue
            try:
                rows, walked = reader.read(op)
            except NotMergeableError:
                continue
            name = layer_name(rows.op)
            places |= dict.fromkeys(walked)
            places[op] = self._fused(name, rows, op.outputs[0])
            merged.add(name)
        graph.ops = [new for op in graph.ops if (new := places.get(op, op)) is not None]
        codes: dict[Tensor, bytes] = {}
        unpacked = sum(_unpack(op, codes) for op in graph.ops)
        return merged if places or unpacked else None

    def _fused(self, name: str, rows: Rows, target: Tensor) -> Op:
        kind = kind_of(rows.op)
        assert kind is not None, rows.op.name
        _, weight_slot, bias_slot = kind.site
        old = rows.op.input(weight_slot).shape
        pointwise = kind is DENSE and len(target.shape) == 4
        if pointwise:
            kind, old = CONV, (len(rows.codes), 1, 1, rows.codes.shape[1])
        made = constant_weight(f"{name}/weight", kind, rows.codes, rows.scale, old)
        weight = self.weights.setdefault((name, made.shape, made.data, rows.scale.tobytes()), made)
        use = _use(rows.op.input(bias_slot or 0).name, name)
        if (
            rows.bias.size
            and rows.source.type != TensorType.FLOAT32
            and (rows.bias.min() < _INT32.min or rows.bias.max() > _INT32.max)
        ):
            raise damaged(name, "its biases leave int32")
        bias = _bias(f"{name}/bias{use}", rows)
        if pointwise:
            inputs: list[Tensor | None] = [rows.source, weight, bias]
            options = {"fusedActivationFunction": rows.activation, "padding": _SAME, "strideH": 1, "strideW": 1}
            return make_op(BuiltinOperator.CONV_2D, inputs, [target], _CONV_VERSION, "Conv2DOptions", **options)
        shape = kind.output_shape(rows.op)
        if shape is not None and shape.data is not None:
            whole = np.array([*shape.array()[:-1], len(rows.codes)], np.int32)
            shape = Tensor(f"{name}/shape{use}", shape.shape, shape.type, whole.tobytes())
        inputs = kind.inputs(rows.source, weight, bias, shape=shape)
        return copy_op(rows.op, inputs, [target], fusedActivationFunction=rows.activation)


def _ends_layer(op: Op, reader: PointsReader) -> bool:
    """Whether the op writes the output of a layer that is several ops or stored as INT4."""
    if len(op.outputs) != 1 or op.outputs[0] in reader.parts:
        return False
    if kind_of(op) is not None:
        return layer_name(op) != "" and weights_of(op)[0].type == TensorType.INT4
    return not reader.parts.isdisjoint(op.inputs)


def _bias(name: str, rows: Rows) -> Tensor:
    if rows.source.type == TensorType.FLOAT32:
        return float_bias(name, rows.bias)
    return bias_tensor(name, rows.bias, rows.source.scale, rows.scale)


def _use(bias: str, layer: str) -> str:
    """What a fused op of this use adds to the name of its bias: nothing, or "_1" for the second use and so on."""
    number = bias[len(layer) :].partition("/")[0]
    return number.replace("#", "_")


def _unpack(op: Op, codes: dict[Tensor, bytes]) -> bool:
    """Gives the op int8 weights if a lowering stored them as INT4; ``codes`` keeps what several ops share."""
    kind = kind_of(op)
    if kind is None or not layer_name(op):
        return False
    slot = kind.site.weight
    weight = op.input(slot)
    if weight.type != TensorType.INT4:
        return False
    if weight not in codes:
        codes[weight] = weight.array().tobytes()
    op.inputs[slot] = Tensor(weight.name, weight.shape, TensorType.INT8, codes[weight], weight.quantization)
    return True
