"""``parallel``: every point is an op of its own with its own scales; the form the project is named for.

Per layer: one op for the rows with one point (fused activation), for the other rows one op a point and ADD with the
fused activation, CONCATENATION of the pieces. Points of 1x1 convolutions and dense layers are stored as INT4
FULLY_CONNECTED where that runs fast, the rest as int8 convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from converters.graph import BuiltinOperator, Graph, Op, Quantization, Tensor, TensorType, schema
from converters.layers import Layer, Use, slots
from converters.lowering.build import constant_bias, constant_weight, copy_op, version_with_bias
from converters.lowering.emitted import EmittedWeight, Lowered
from converters.lowering.quantized import QuantizedLayer
from converters.lowering.ranges import PartialKey
from tfmpq.errors import LoweringError

Storage = Literal["auto", "int4", "int8"]

# Versions every LiteRT since 1.1 loads (2 = int8 for the elementwise ops, 4 = per-channel FULLY_CONNECTED).
_ADD_VERSION = _CONCAT_VERSION = _SLICE_VERSION = 2
_DENSE_VERSION = 4
_RESIDUAL_MARGIN = 1.25  # the smaller points' range is widened: saturation there costs more than a coarser step
# Smallest step of a partial output, in steps of the layer's. XNNPACK leaves an ADD whose scales differ by more than
# 2^10 to slower kernels and refuses a layer whose multiplier reaches 2^8, as with points calibration never saw act.
_FINEST_STEP = 2.0**-8
_ACTIVATION_LIMITS = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


@dataclass(frozen=True)
class _Segment:
    """Consecutive rows with equally many points."""

    points: int
    rows: slice


def can_store_int4(layer: Layer, rows: int, bits: int) -> bool:
    """Whether ``rows`` rows of the layer run fast as INT4 FULLY_CONNECTED (runtime facts: even inputs, >= 2 rows)."""
    pointwise = layer.kind == "conv" and layer.groups == 1
    pointwise = pointwise and layer.geometry.kernel == (1, 1) and layer.geometry.stride == (1, 1)
    return bits <= 4 and rows >= 2 and layer.weight.shape[1] % 2 == 0 and (layer.kind == "dense" or pointwise)


def needs_full_width(layer: Layer) -> str | None:
    """Why the layer's rows cannot be split into segments, or None."""
    if layer.kind == "conv" and layer.groups > 1:
        return "grouped convolution"
    if layer.kind == "depthwise" and layer.channels != layer.groups:
        return "depth multiplier above 1"
    if layer.kind == "transpose_conv" and any(use.int8_op.input(0).data is None for use in layer.uses):
        return "output shape computed at run time"
    return None


def lower_parallel(
    graph: Graph,
    quantized: QuantizedLayer,
    ranges: Mapping[PartialKey, tuple[float, float]],
    *,
    storage: Storage = "auto",
    full_width: bool = False,
) -> Lowered:
    """Replaces each op of the layer by ops for its points.

    Args:
        graph: int8 graph that holds the layer's ops.
        quantized: points; unless ``full_width``, rows with more points come first.
        ranges: calibrated (min, max) of every partial output.
        storage: ``int4`` demands INT4 where the layer's form allows it, ``int8`` never uses it.
        full_width: every point covers all rows (zero codes where a row has none), for layers whose rows must stay.

    Raises:
        LoweringError: Rows are not ordered by number of points; codes need more than 8 bits.
    """
    layer, weight = quantized.layer, quantized.weight
    if not full_width and (np.diff(weight.counts) > 0).any():
        raise LoweringError(f"layer {layer.name!r}: rows with more points must come first for the parallel form.")
    segments = _segments(weight.counts, full_width)
    emitted: dict[str, EmittedWeight] = {}
    outputs: list[str] = []
    for number, (use, bias) in enumerate(zip(layer.uses, quantized.biases, strict=True)):
        writer = _Writer(quantized, use, bias, number, storage, emitted)
        pieces = [writer.segment(segment, ranges, len(segments) == 1) for segment in segments]
        if len(pieces) > 1:
            writer.concatenate(pieces)
        index = graph.ops.index(use.int8_op)
        graph.ops[index : index + 1] = writer.ops
        outputs += [tensor.name for op in writer.ops for tensor in op.outputs]
    return Lowered(layer.name, "parallel", tuple(emitted.values()), tuple(outputs))


def _segments(counts: np.ndarray, full_width: bool) -> list[_Segment]:
    if full_width:
        return [_Segment(int(counts.max()), slice(0, len(counts)))]
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1), len(counts)]
    return [_Segment(int(counts[a]), slice(int(a), int(b))) for a, b in pairwise(edges)]


class _Writer:
    """Emits the ops of one use of a layer."""

    def __init__(
        self,
        quantized: QuantizedLayer,
        use: Use,
        bias: np.ndarray,
        number: int,
        storage: Storage,
        emitted: dict[str, EmittedWeight],
    ) -> None:
        self.layer, self.weight = quantized.layer, quantized.weight
        self.use, self.bias, self.number = use, bias, number
        self.storage, self.emitted = storage, emitted
        self.op = use.int8_op
        self.source = use.int8_input(self.layer.kind)
        self.target = self.op.outputs[0]
        self.activation = getattr(self.op.options, "fusedActivationFunction", 0)
        self.ops: list[Op] = []
        self.prefix = self.layer.name if number == 0 else f"{self.layer.name}#{number}"

    def segment(self, segment: _Segment, ranges: Mapping[PartialKey, tuple[float, float]], alone: bool) -> Tensor:
        """All ops for one segment; its result has the layer's output quantization."""
        rows = segment.rows.stop - segment.rows.start
        label = f"{self.prefix}/points{segment.points}"
        result = self.target if alone else self._output(f"{label}/out", rows, self.target.quantization)
        source = self._input_slice(segment, alone)
        if segment.points == 1:
            self._point(0, segment, source, result, self.bias[segment.rows], self.activation)
            return result
        spans = [ranges[PartialKey(self.layer.name, self.number, segment.points, p)] for p in range(segment.points)]
        parts = self._partials(segment, spans, source, label)
        # Small points first, so that the sums before the last one stay small too.
        total, span = parts[-1], spans[-1]
        for p in range(segment.points - 2, 0, -1):
            span = (span[0] + spans[p][0], span[1] + spans[p][1])
            partial = self._output(f"{label}/sum{p}", rows, self._affine(*span))
            self._add(parts[p], total, partial, 0)
            total = partial
        self._add(parts[0], total, result, self.activation)
        return result

    def _partials(
        self, segment: _Segment, spans: list[tuple[float, float]], source: Tensor, label: str
    ) -> list[Tensor]:
        rows = segment.rows.stop - segment.rows.start
        low, high = self._output_limits()
        # Beyond these the sum saturates whatever the other points add, so the first point may saturate there too.
        low -= sum(span[1] for span in spans[1:])
        high -= sum(span[0] for span in spans[1:])
        spans[0] = (max(spans[0][0], low), min(spans[0][1], high))
        for p in range(1, segment.points):
            spans[p] = (spans[p][0] * _RESIDUAL_MARGIN, spans[p][1] * _RESIDUAL_MARGIN)
        parts = []
        for p in range(segment.points):
            tensor = self._output(f"{label}/point{p}", rows, self._affine(*spans[p]))
            bias = self.bias[segment.rows] if p == 0 else np.zeros(rows, np.float32)
            self._point(p, segment, source, tensor, bias, 0)
            parts.append(tensor)
        return parts

    def _point(
        self, p: int, segment: _Segment, source: Tensor, result: Tensor, bias: np.ndarray, activation: int
    ) -> None:
        point, used = self.weight.points[p], self.weight.counts[segment.rows] > p
        codes, scale = point.codes[segment.rows], point.scale[segment.rows]
        # Rows without this point (full width) hold zeros: any scale is right, but the kernels refuse large ones.
        scale = np.where(used, scale, scale[used].max())
        int4 = self.storage != "int8" and can_store_int4(self.layer, len(codes), self.weight.bits)
        _, weight_slot, _ = slots(self.layer.kind)
        shape = self.op.input(weight_slot).shape
        name = f"{self.layer.name}/points{segment.points}/weight{p}"
        if name not in self.emitted:
            self.emitted[name] = EmittedWeight(self.layer.name, name, codes, scale)
        kind, layout = ("dense", codes.shape) if int4 else (self.layer.kind, shape)
        weight = constant_weight(name, kind, codes, scale, layout, int4=int4)
        bias_name = f"{self.prefix}/points{segment.points}/bias{p}"
        inputs: list[Tensor | None] = [source, weight, constant_bias(bias_name, bias, self.source.scale, scale)]
        if int4:
            self.ops.append(_dense(inputs, result, activation, keep_dims=self._keeps_dims()))
            return
        if self.layer.kind == "transpose_conv":
            inputs = [self._transposed_shape(len(codes)), weight, source, inputs[2]]
        op = copy_op(self.op, inputs, [result], fusedActivationFunction=activation)
        op.version = version_with_bias(self.layer.kind, op.version)
        self.ops.append(op)

    def _keeps_dims(self) -> bool:
        return self.layer.kind == "conv" or bool(self.op.options.keepNumDims)

    def _transposed_shape(self, rows: int) -> Tensor | None:
        shape = self.op.input(0)
        if shape.data is None:
            return shape
        values = shape.array().copy()
        values[-1] = rows
        return Tensor(f"{self.prefix}/shape{rows}", shape.shape, shape.type, values.tobytes())

    def _input_slice(self, segment: _Segment, alone: bool) -> Tensor:
        """Depthwise rows are tied to input channels: their segment reads a slice of the input."""
        if self.layer.kind != "depthwise" or alone:
            return self.source
        rows = segment.rows.stop - segment.rows.start
        label = f"{self.prefix}/points{segment.points}"
        begin = np.array([0, 0, 0, segment.rows.start], np.int32)
        size = np.array([-1, -1, -1, rows], np.int32)
        part = Tensor(
            f"{label}/in",
            (*self.source.shape[:-1], rows),
            TensorType.INT8,
            None,
            self.source.quantization,
            _with_last(self.source.shape_signature, rows),
        )
        constants = [
            Tensor(f"{label}/{what}", (4,), TensorType.INT32, v.tobytes())
            for what, v in (("begin", begin), ("size", size))
        ]
        self.ops.append(
            Op(BuiltinOperator.SLICE, [self.source, *constants], [part], _SLICE_VERSION, *_options("SliceOptions"))
        )
        return part

    def _output_limits(self) -> tuple[float, float]:
        """Real values the int8 output can show after its activation."""
        scale, zero = self.target.scale, self.target.zero_point
        low, high = _ACTIVATION_LIMITS[self.activation]
        return max(low, (-128 - zero) * scale), min(high, (127 - zero) * scale)

    def _affine(self, low: float, high: float) -> Quantization:
        """int8 quantization of a real range; the range is widened to hold 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32(max((high - low) / 255.0, self.target.scale * _FINEST_STEP))
        zero = int(np.clip(np.rint(-128 - low / float(scale)), -128, 127))
        return Quantization(np.array([scale], np.float32), np.array([zero], np.int64))

    def _output(self, name: str, rows: int, quantization: Quantization | None) -> Tensor:
        shape = (*self.target.shape[:-1], rows)
        return Tensor(name, shape, TensorType.INT8, None, quantization, _with_last(self.target.shape_signature, rows))

    def _add(self, first: Tensor, second: Tensor, result: Tensor, activation: int) -> None:
        kind, options = _options("AddOptions", fusedActivationFunction=activation)
        self.ops.append(Op(BuiltinOperator.ADD, [first, second], [result], _ADD_VERSION, kind, options))

    def concatenate(self, pieces: list[Tensor]) -> None:
        """Joins the segments into the layer's output."""
        kind, options = _options("ConcatenationOptions", axis=len(self.target.shape) - 1)
        self.ops.append(Op(BuiltinOperator.CONCATENATION, list(pieces), [self.target], _CONCAT_VERSION, kind, options))


def _dense(inputs: list[Tensor | None], result: Tensor, activation: int, *, keep_dims: bool) -> Op:
    kind, options = _options("FullyConnectedOptions", fusedActivationFunction=activation, keepNumDims=keep_dims)
    return Op(BuiltinOperator.FULLY_CONNECTED, inputs, [result], _DENSE_VERSION, kind, options)


def _options(name: str, **values: int) -> tuple[int, object]:
    options = getattr(schema, f"{name}T")()
    for key, value in values.items():
        setattr(options, key, value)
    return getattr(schema.BuiltinOptions, name), options


def _with_last(signature: tuple[int, ...] | None, last: int) -> tuple[int, ...] | None:
    return None if signature is None else (*signature[:-1], last)
