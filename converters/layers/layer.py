"""Weight layers of a model: the float graph and its int8 twin matched op by op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from converters.errors import ModelError
from converters.layers.names import name_ops
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType

Kind = Literal["conv", "depthwise", "dense", "transpose_conv"]

_CONVERSIONS = {BuiltinOperator.QUANTIZE, BuiltinOperator.DEQUANTIZE}
_KINDS: dict[int, Kind] = {
    BuiltinOperator.CONV_2D: "conv",
    BuiltinOperator.DEPTHWISE_CONV_2D: "depthwise",
    BuiltinOperator.FULLY_CONNECTED: "dense",
    BuiltinOperator.TRANSPOSE_CONV: "transpose_conv",
}
# Where each kind keeps activation input, weight and bias among the op's inputs.
_SLOTS: dict[Kind, tuple[int, int, int]] = {
    "conv": (0, 1, 2),
    "depthwise": (0, 1, 2),
    "dense": (0, 1, 2),
    "transpose_conv": (2, 1, 3),
}
ROW_AXIS: dict[Kind, int] = {"conv": 0, "depthwise": 3, "dense": 0, "transpose_conv": 0}
_SHAPES_ONLY = {BuiltinOperator.SHAPE, BuiltinOperator.RANK}  # what they read does not reach what they write
_PADDING = {0: "SAME", 1: "VALID"}
_MIN_CONSTANT = 64  # smaller float constants (axes, scalars, norms) are not worth a line in the report


@dataclass(frozen=True)
class Geometry:
    """How a layer's input becomes rows of ``d`` numbers. Pairs are (height, width)."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "VALID"


@dataclass(frozen=True)
class Use:
    """One op that computes with the layer's weight (several where a layer is shared)."""

    float_op: Op
    int8_op: Op
    bias: np.ndarray  # float32 (C,), zeros where the op has none

    def float_input(self, kind: Kind) -> Tensor:
        """The activation the layer reads, in the float graph."""
        return self.float_op.input(_SLOTS[kind][0])

    def int8_input(self, kind: Kind) -> Tensor:
        """The activation the layer reads, in the int8 twin."""
        return self.int8_op.input(_SLOTS[kind][0])


@dataclass(frozen=True)
class Layer:
    """A weight matrix and the ops that use it.

    Attributes:
        name: the user's Keras layer name where known, unique within the model.
        kind: what op computes it.
        weight: float32 (C, d), one row an output channel.
        groups: number of input groups; rows c*C/groups.. of group g read only the group's inputs.
        geometry: kernel, stride, dilation, padding.
        uses: the ops.
        is_first, is_last: whether it reads a graph input / is the last weight layer before an output.
    """

    name: str
    kind: Kind
    weight: np.ndarray
    groups: int
    geometry: Geometry
    uses: tuple[Use, ...]
    is_first: bool = False
    is_last: bool = False

    @property
    def channels(self) -> int:
        """Number of rows C."""
        return self.weight.shape[0]


@dataclass(frozen=True)
class Skipped:
    """An op with constant weights that stays as stock converts it."""

    name: str
    op: str
    reason: str


def weight_rows(kind: Kind, array: np.ndarray) -> np.ndarray:
    """Weight tensor in the file's layout -> (C, d)."""
    return np.moveaxis(array, ROW_AXIS[kind], 0).reshape(array.shape[ROW_AXIS[kind]], -1)


def weight_tensor(kind: Kind, rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """(C', d) -> the file's layout; ``shape`` is the original layout, its channel count may differ."""
    axis = ROW_AXIS[kind]
    rest = [n for i, n in enumerate(shape) if i != axis]
    return np.ascontiguousarray(np.moveaxis(rows.reshape([rows.shape[0], *rest]), 0, axis))


def slots(kind: Kind) -> tuple[int, int, int]:
    """Positions of (activation, weight, bias) among the op's inputs."""
    return _SLOTS[kind]


def find_layers(
    float_graph: Graph,
    int8_graph: Graph,
    *,
    layer_names: Sequence[str] = (),
    keras_generation: int | None = None,
    grouped_kernels: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> tuple[list[Layer], list[Skipped]]:
    """Matches the two graphs by position and lists what tfmpq can quantize and what it must leave.

    Args:
        float_graph: the float flatbuffer's main graph.
        int8_graph: the main graph of its stock int8 twin.
        layer_names, keras_generation, grouped_kernels: of the float model, to name layers as the user does.

    Raises:
        ModelError: The graphs differ in their op sequence or weight shapes.
    """
    pairs = [(a, b, _unsupported(a, b)) for a, b in _matched_ops(float_graph, int8_graph)]
    weighty = [(a, b, reason) for a, b, reason in pairs if reason != ""]
    names = name_ops([op for op, _, _ in weighty], layer_names, keras_generation, grouped_kernels)
    found: dict[int, Layer] = {}  # by identity of the float weight: shared weights are one layer
    skipped: list[Skipped] = []
    for float_op, int8_op, reason in weighty:
        if reason is not None:
            skipped.append(Skipped(names[float_op], float_op.name, reason))
            continue
        kind = _KINDS[float_op.code]
        layer = _layer(kind, names[float_op], float_op, int8_op)
        key = id(float_op.input(_SLOTS[kind][1]))
        if key in found and found[key].geometry == layer.geometry and found[key].groups == layer.groups:
            first = found[key]
            found[key] = Layer(first.name, kind, first.weight, first.groups, first.geometry, first.uses + layer.uses)
        else:
            found[key if key not in found else id(float_op)] = layer
    return _unique(_mark_ends(list(found.values()), float_graph)), skipped


def _matched_ops(float_graph: Graph, int8_graph: Graph) -> list[tuple[Op, Op]]:
    sequences = [[op for op in g.ops if op.code not in _CONVERSIONS] for g in (float_graph, int8_graph)]
    first, second = sequences
    for i, (a, b) in enumerate(zip(first, second, strict=False)):
        shapes = [
            [t.shape for t in op.inputs if t is not None and t.data is not None and len(t.shape) > 1] for op in (a, b)
        ]
        if a.name != b.name or shapes[0] != shapes[1]:
            raise ModelError(
                f"op {i} is {a.name} in the float model and {b.name} in its int8 form, or their weights differ in "
                "shape: TensorFlow rewrote the graph while quantizing, and layers cannot be matched. Please report "
                "the model."
            )
    if len(first) != len(second):
        raise ModelError(
            f"the float model has {len(first)} ops and its int8 form {len(second)}: TensorFlow rewrote the graph while "
            "quantizing, and layers cannot be matched. Please report the model."
        )
    return list(zip(first, second, strict=True))


def _unsupported(float_op: Op, int8_op: Op) -> str | None:
    """None: supported; "": carries no weights worth listing; otherwise why the op stays as stock has it."""
    if float_op.code not in _KINDS:
        # An elementwise op or a gather may hold constants; only matrix-like float ones are "weights".
        large = [t for t in float_op.inputs if t is not None and t.data is not None and t.type == TensorType.FLOAT32]
        if any(np.prod(t.shape) >= _MIN_CONSTANT and len(t.shape) >= 2 for t in large):
            return f"{float_op.name} has no multipoint form; it stays as TensorFlow converts it"
        return ""
    kind = _KINDS[float_op.code]
    activation, weight, _ = _SLOTS[kind]
    if float_op.input(weight).data is None:
        return "its weight is computed by the graph, not a constant"
    twin = int8_op.input(weight)
    if twin.type != TensorType.INT8 or int8_op.input(activation).type != TensorType.INT8:
        return "TensorFlow leaves it in float"
    if twin.quantization is None or twin.quantization.zero_point.any():
        return "its stock weights are not symmetric int8"
    return None


def _layer(kind: Kind, name: str, float_op: Op, int8_op: Op) -> Layer:
    activation, weight_slot, bias_slot = _SLOTS[kind]
    tensor = float_op.input(weight_slot)
    weight = weight_rows(kind, tensor.array()).astype(np.float32)
    bias = np.zeros(len(weight), np.float32)
    if len(float_op.inputs) > bias_slot and float_op.inputs[bias_slot] is not None:
        bias = float_op.input(bias_slot).array().astype(np.float32).reshape(-1)
    for what, values in (("weight", weight), ("bias", bias)):
        if not np.isfinite(values).all():
            channel = int(np.argwhere(~np.isfinite(values.reshape(len(weight), -1)).all(1))[0, 0])
            raise ModelError(
                f"layer {name!r} ({float_op.name}): {what} has NaN or Inf at channel {channel}; quantization needs "
                "finite weights. Check the checkpoint."
            )
    groups = 1
    in_channels = float_op.input(activation).shape[-1]
    if kind == "conv":
        groups = in_channels // tensor.shape[3]
    elif kind == "depthwise":
        groups = in_channels
    return Layer(name, kind, weight, groups, _geometry(kind, float_op, tensor), (Use(float_op, int8_op, bias),))


def _geometry(kind: Kind, op: Op, weight: Tensor) -> Geometry:
    if kind == "dense":
        return Geometry()
    options = op.options
    dilation = (1, 1) if kind == "transpose_conv" else (options.dilationHFactor, options.dilationWFactor)
    return Geometry(
        (weight.shape[1], weight.shape[2]), (options.strideH, options.strideW), dilation, _PADDING[options.padding]
    )


def _mark_ends(layers: list[Layer], graph: Graph) -> list[Layer]:
    """Marks layers that read a graph input, and those from which an output is reached without another layer."""
    by_op = {use.float_op: i for i, layer in enumerate(layers) for use in layer.uses}
    producers = graph.producers()

    def nearest(tensors: Sequence[Tensor]) -> set[int]:
        hit: set[int] = set()
        stack, seen = list(tensors), set()
        while stack:
            op = producers.get(stack.pop())
            if op is None or op in seen or op.code in _SHAPES_ONLY:
                continue
            seen.add(op)
            if op in by_op:
                hit.add(by_op[op])
            else:
                stack += [t for t in op.inputs if t is not None]
        return hit

    last = nearest(graph.outputs)
    starts = set(graph.inputs)
    result = []
    for i, layer in enumerate(layers):
        sources = [use.float_input(layer.kind) for use in layer.uses]
        first = not nearest(sources) and any(_reaches(s, starts, producers) for s in sources)
        result.append(
            Layer(layer.name, layer.kind, layer.weight, layer.groups, layer.geometry, layer.uses, first, i in last)
        )
    return result


def _reaches(tensor: Tensor, starts: set[Tensor], producers: dict[Tensor, Op]) -> bool:
    stack, seen = [tensor], set()
    while stack:
        current = stack.pop()
        if current in starts:
            return True
        if current in producers and current not in seen:
            seen.add(current)
            stack += [t for t in producers[current].inputs if t is not None]
    return False


def _unique(layers: list[Layer]) -> list[Layer]:
    """A layer of several ops (SeparableConv, attention) gives names that clash: add what tells them apart."""
    clashes = {name for name, n in Counter(layer.name for layer in layers).items() if n > 1}
    seen: Counter[str] = Counter()
    result = []
    for layer in layers:
        name = layer.name
        if name in clashes:
            name = f"{name}:{layer.kind}"
            seen[name] += 1
            name = name if seen[name] == 1 else f"{name}:{seen[name]}"
        result.append(Layer(name, *(getattr(layer, f) for f in list(Layer.__dataclass_fields__)[1:])))
    return result
