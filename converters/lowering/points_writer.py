"""The operators of a layer whose points stay apart: what the parallel and the compact form have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from converters.layers.kinds import CONV, DENSE, WeightKind
from converters.layers.layer import Layer, Use
from converters.lowering.build import bias_codes, bias_tensor, constant_weight, copy_op, float_bias
from converters.lowering.form import Storage
from converters.lowering.ops import add, dense, with_channels
from converters.lowering.quantized_layer import MULTIPLIER_LIMIT, QuantizedLayer
from converters.lowering.ranges import PartialKey
from converters.lowering.result import EmittedWeight
from converters.lowering.split import can_store_int4, lowest_int4_code
from converters.points import Point, merge
from converters.tflite.graph import BuiltinOperator, Op, Quantization, Tensor
from converters.tflite.new_ops import integers, make_op

_SLICE_VERSION = 2  # int8; every LiteRT since 1.1 loads it
_RESIDUAL_MARGIN = 1.25  # the smaller points' range is widened: saturation there costs more than a coarser step
# Smallest step of a partial output, in steps of the layer's. XNNPACK leaves an ADD whose scales differ by more than
# 2^10 to slower kernels.
_FINEST_STEP = 2.0**-8
_MIN_INT4_ROWS = 2  # of operators that stay what they are: one row would be little to win
_ACTIVATION_LIMITS = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


@dataclass(frozen=True)
class Segment:
    """Consecutive rows with equally many points."""

    points: int
    rows: slice


def int4_kind(layer: Layer, rows: int, bits: int, storage: Storage) -> WeightKind | None:
    """The operator that computes ``rows`` rows of the layer from INT4 codes; None: they are stored as int8.

    The runtimes' plain kernels take INT4 convolutions as they are, whatever their version, but no INT4 transposed ones.
    """
    if storage == "int8" or bits > 4:
        return None
    if storage == "own":
        return layer.kind if layer.kind in (CONV, DENSE) and rows >= _MIN_INT4_ROWS else None
    if can_store_int4(layer, rows, bits):
        return DENSE
    if storage == "auto" or not layer.kind.has_int4:
        return None
    # XNNPACK in TensorFlow 2.21 fails on an INT4 FULLY_CONNECTED with a single row.
    return None if layer.kind is DENSE and rows == 1 else layer.kind


def segments_in_order(counts: np.ndarray, full_width: bool) -> list[Segment]:
    """The segments of rows of which those with more points come first; all in one if ``full_width``."""
    if full_width:
        return [Segment(int(counts.max()), slice(0, len(counts)))]
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1), len(counts)]
    return [Segment(int(counts[a]), slice(int(a), int(b))) for a, b in pairwise(edges)]


class PointsWriter:
    """Emits the ops of one use of a layer."""

    def __init__(
        self,
        quantized: QuantizedLayer,
        use: Use,
        bias: np.ndarray,
        number: int,
        storage: Storage,
        emitted: dict[str, EmittedWeight],
        *,
        ordered: bool,
    ) -> None:
        self.layer, self.weight = quantized.layer, quantized.weight
        self.use, self.bias, self.number = use, bias, number
        self.storage: Storage = storage
        self.emitted = emitted
        self.merged = merge(quantized.weight)
        self.op = use.int8_op
        self.source = use.int8_input
        self.prefix = self.layer.name if number == 0 else f"{self.layer.name}#{number}"
        self.target = self.op.outputs[0]
        if ordered:  # what is to be put back in order
            self.target = with_channels(f"{self.prefix}/ordered", self.target, self.layer.channels)
        self.activation = getattr(self.op.options, "fusedActivationFunction", 0)
        self.ops: list[Op] = []

    def segment(self, segment: Segment, ranges: Mapping[PartialKey, tuple[float, float]], alone: bool) -> Tensor:
        """All ops for one segment; its result has the layer's output quantization."""
        rows = segment.rows.stop - segment.rows.start
        label = f"{self.prefix}/points{segment.points}"
        result = self.target if alone else self._output(f"{label}/out", rows, self.target.quantization)
        source = self._input_slice(segment, alone)
        if segment.points == 1:
            self._point(0, segment, source, result, self._biases(segment)[0], self.activation)
            return result
        if self.storage in ("int4", "own") and self.merged is not None:
            self._int8_rows(self.merged, segment, source, result)
            return result
        none = (0.0, 0.0)  # float sums have no range
        keys = [PartialKey(self.layer.name, self.number, segment.points, p) for p in range(segment.points)]
        spans = [none if self.layer.reads_float else ranges[key] for key in keys]
        parts = self._partials(segment, spans, source, label)
        # Small points first, so that the sums before the last one stay small too.
        total, span = parts[-1], spans[-1]
        for p in range(segment.points - 2, 0, -1):
            span = (span[0] + spans[p][0], span[1] + spans[p][1])
            partial = self._partial(f"{label}/sum{p}", rows, span)
            self.ops.append(add(parts[p], total, partial, 0))
            total = partial
        self.ops.append(add(parts[0], total, result, self.activation))
        return result

    def _partials(self, segment: Segment, spans: list[tuple[float, float]], source: Tensor, label: str) -> list[Tensor]:
        rows = segment.rows.stop - segment.rows.start
        if not self.layer.reads_float:
            self._fit_spans(spans)
        parts = []
        for p, bias in enumerate(self._biases(segment)):
            finest = 0.0
            if not self.layer.reads_float:
                finest = 2 * self.source.scale * float(self._scale(segment, p).max()) / MULTIPLIER_LIMIT
            tensor = self._partial(f"{label}/point{p}", rows, spans[p], finest)
            self._point(p, segment, source, tensor, bias, 0)
            parts.append(tensor)
        return parts

    def _fit_spans(self, spans: list[tuple[float, float]]) -> None:
        """Ranges of partial outputs, given those that data reach."""
        low, high = self._output_limits()
        # Beyond these the sum saturates whatever the other points add, so the first point may saturate there too.
        low -= sum(span[1] for span in spans[1:])
        high -= sum(span[0] for span in spans[1:])
        spans[0] = (max(spans[0][0], low), min(spans[0][1], high))
        for p in range(1, len(spans)):
            spans[p] = (spans[p][0] * _RESIDUAL_MARGIN, spans[p][1] * _RESIDUAL_MARGIN)

    def _scale(self, segment: Segment, p: int) -> np.ndarray:
        """Scales of one point. Rows without it (full width) hold zeros: any would do, but kernels refuse large ones."""
        used = self.weight.counts[segment.rows] > p
        scale = self.weight.points[p].scale[segment.rows]
        return np.where(used, scale, scale[used].max())

    def _biases(self, segment: Segment) -> list[np.ndarray]:
        """Bias of every point's op: int32 codes, or as it is beside float activations.

        The first takes all of it, rounded to its coarse step. Where points merge, the last takes what that leaves, so
        that the sum is the very bias of the merged row: less than a coarse step, too little to move a range.
        """
        bias, points = self.bias[segment.rows], segment.points
        if self.layer.reads_float:
            return [bias, *[np.zeros(len(bias), np.float32)] * (points - 1)]
        first = last = self._scale(segment, 0)
        if self.merged is not None:
            last = np.where(self.weight.counts[segment.rows] == points, self._scale(segment, points - 1), first)
        zeros = [np.zeros(len(bias), np.int32)] * (points - 1)
        whole = bias_codes(bias, self.source.scale, last).astype(np.int64)
        ratio = np.rint(first.astype(np.float64) / last).astype(np.int64)
        coarse = np.rint(whole / ratio).astype(np.int64)
        return [coarse.astype(np.int32), *zeros[1:], (whole - ratio * coarse).astype(np.int32)][:points]

    def _point(
        self, p: int, segment: Segment, source: Tensor, result: Tensor, bias: np.ndarray, activation: int
    ) -> None:
        codes, scale = self.weight.points[p].codes[segment.rows], self._scale(segment, p)
        stored = int4_kind(self.layer, len(codes), self.weight.bits, self.storage)
        if codes.min(initial=0) < lowest_int4_code(self.layer):
            stored = None
        self._write(f"points{segment.points}", p, Point(codes, scale), stored, source, result, bias, activation)

    def _int8_rows(self, merged: Point, segment: Segment, source: Tensor, result: Tensor) -> None:
        """All points of a row as the one int8 row that they add up to: fewer bytes than two INT4 rows, and no ADD."""
        rows = Point(merged.codes[segment.rows], merged.scale[segment.rows])
        bias = self.bias[segment.rows]
        if not self.layer.reads_float:
            bias = bias_codes(bias, self.source.scale, rows.scale)
        self._write(f"points{segment.points}", 0, rows, None, source, result, bias, self.activation)

    def _write(
        self,
        part: str,
        p: int,
        point: Point,
        stored: WeightKind | None,
        source: Tensor,
        result: Tensor,
        bias: np.ndarray,
        activation: int,
    ) -> None:
        codes, scale = point.codes, point.scale
        kind = stored or self.layer.kind
        shape = codes.shape if kind is DENSE else self.op.input(self.use.site.weight).shape
        name = f"{self.layer.name}/{part}/weight{p}"
        if name not in self.emitted:
            self.emitted[name] = EmittedWeight(self.layer.name, name, codes, scale)
        weight = constant_weight(name, kind, codes, scale, shape, int4=stored is not None)
        offset = self._bias_tensor(f"{self.prefix}/{part}/bias{p}", bias, scale)
        if stored is DENSE:
            keep_dims = self.layer.kind.keeps_dims(self.op)
            self.ops.append(dense([source, weight, offset], result, activation, keep_dims=keep_dims))
            return
        inputs = kind.inputs(source, weight, offset, shape=self._output_shape(len(codes)))
        op = copy_op(self.op, inputs, [result], fusedActivationFunction=activation)
        op.version = kind.version(op.version)
        self.ops.append(op)

    def _bias_tensor(self, name: str, bias: np.ndarray, scale: np.ndarray) -> Tensor:
        if self.layer.reads_float:
            return float_bias(name, bias)
        return bias_tensor(name, bias, self.source.scale, scale)

    def _output_shape(self, rows: int) -> Tensor | None:
        shape = self.layer.kind.output_shape(self.op)
        if shape is None or shape.data is None:
            return shape
        values = shape.array().copy()
        values[-1] = rows
        return Tensor(f"{self.prefix}/shape{rows}", shape.shape, shape.type, values.tobytes())

    def _input_slice(self, segment: Segment, alone: bool) -> Tensor:
        """Depthwise rows are tied to input channels: their segment reads a slice of the input."""
        if not self.layer.kind.per_channel or alone:
            return self.source
        rows = segment.rows.stop - segment.rows.start
        label = f"{self.prefix}/points{segment.points}"
        begin = integers(f"{label}/begin", [0, 0, 0, segment.rows.start])
        size = integers(f"{label}/size", [-1, -1, -1, rows])
        part = with_channels(f"{label}/in", self.source, rows)
        inputs = [self.source, begin, size]
        self.ops.append(make_op(BuiltinOperator.SLICE, inputs, [part], _SLICE_VERSION, "SliceOptions"))
        return part

    def _output_limits(self) -> tuple[float, float]:
        """Real values the int8 output can show after its activation."""
        scale, zero = self.target.scale, self.target.zero_point
        low, high = _ACTIVATION_LIMITS[self.activation]
        return max(low, (-128 - zero) * scale), min(high, (127 - zero) * scale)

    def _affine(self, low: float, high: float, finest: float = 0.0) -> Quantization:
        """int8 quantization of a real range with a step of at least ``finest``; the range is widened to hold 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32(max((high - low) / 255.0, self.target.scale * _FINEST_STEP, finest))
        zero = int(np.clip(np.rint(-128 - low / float(scale)), -128, 127))
        return Quantization(np.array([scale], np.float32), np.array([zero], np.int64))

    def _partial(self, name: str, rows: int, span: tuple[float, float], finest: float = 0.0) -> Tensor:
        return self._output(name, rows, None if self.layer.reads_float else self._affine(*span, finest))

    def _output(self, name: str, rows: int, quantization: Quantization | None) -> Tensor:
        return with_channels(name, self.target, rows, quantization)
