"""How much rounding noise in an activation matters: relative to the signal of the layers that read it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from converters.layers.channel_rules import width
from converters.layers.kinds import WeightKind, kind_of
from converters.rewriting.channel_scales import ChannelScales
from converters.tflite.graph import Graph, Op, Tensor
from tfmpq.activations.statistics import Statistics

_MEANS = {"AVERAGE_POOL_2D", "MEAN"}  # noise of several positions is averaged away


def importance(graph: Graph, scales: ChannelScales, statistics: Statistics) -> dict[Tensor, np.ndarray]:
    """(C,) for every activation: its mean squared noise, weighed so and summed, is the relative output noise it makes.

    Noise reaches a layer through its columns; what it adds to the layer's output counts relative to the variance of
    that output, as errors of layers add up about evenly (measured on MobileNetV1). Depthwise layers and operators that
    keep channels apart pass on what counts behind them. What others read, and outputs, counts relative to itself.

    Args:
        graph: float.
        scales: of it; tells which channels of inputs and outputs belong together.
        statistics: of its activations.
    """
    found: dict[Tensor, np.ndarray] = {}

    def add(tensor: Tensor, values: np.ndarray) -> None:
        if tensor.data is None and tensor in statistics:
            found[tensor] = found.get(tensor, np.zeros(width(tensor))) + values

    for tensor in graph.outputs:
        if tensor in statistics:
            add(tensor, _own(tensor, statistics))
    for op in reversed(graph.ops):
        kind = kind_of(op)
        known = bool(op.outputs) and op.outputs[0] in statistics
        if kind is not None and known and op.input(kind.site.weight).data is not None:
            x = op.input(kind.site.activation)
            add(x, _through_layer(op, kind, found, statistics))
            continue
        for tensor in dict.fromkeys(t for t in op.inputs if t is not None and t in statistics):
            passed = [_passed(op, tensor, out, scales, found, statistics) for out in op.outputs if out in found]
            add(tensor, np.sum(passed, axis=0) if passed and known else _own(tensor, statistics))
    return found


def _own(tensor: Tensor, statistics: Statistics) -> np.ndarray:
    total = float(statistics[tensor].variance.sum())
    return np.full(width(tensor), 1 / total if total > 0 else 0.0)


def _through_layer(op: Op, kind: WeightKind, found: Mapping[Tensor, np.ndarray], statistics: Statistics) -> np.ndarray:
    x, out, weight = op.input(kind.site.activation), op.outputs[0], op.input(kind.site.weight)
    channels = width(x)
    rows = np.square(kind.rows(weight.array()).astype(np.float64))
    if kind.per_channel:
        later = rows.sum(axis=1) * found.get(out, np.zeros(len(rows)))
        return later.reshape(channels, -1).sum(axis=1)
    signal = float(statistics[out].variance.sum())
    if signal <= 0:
        return np.zeros(channels)
    groups = kind.groups(channels, weight.shape)
    own = rows.reshape(groups, -1, rows.shape[1]).sum(axis=1)  # (groups, d)
    return own.reshape(groups, -1, channels // groups).sum(axis=1).reshape(-1) / signal


def _passed(
    op: Op,
    tensor: Tensor,
    out: Tensor,
    scales: ChannelScales,
    found: Mapping[Tensor, np.ndarray],
    statistics: Statistics,
) -> np.ndarray:
    """What counts behind an operator, for the channels of one of its inputs."""
    if out not in scales.variables:
        return np.zeros(width(tensor))
    later = found[out]
    if op.name in ("MUL", "DIV"):
        other = next((t for t in op.inputs if t is not None and t is not tensor), tensor)
        square = np.square(other.array()) if other.data is not None else statistics[other].square
        square = square.reshape(-1, square.shape[-1] if square.ndim else 1).mean(axis=0)
        later = later * (square if op.name == "MUL" else 1 / np.maximum(square, np.finfo(float).tiny))
    if op.name in _MEANS:
        later = later * prod(max(n, 1) for n in out.shape[:-1]) / prod(max(n, 1) for n in tensor.shape[:-1])
    if len(later) == width(tensor):
        return later
    # Concatenated, split, flattened: the same channels have the same variables.
    own, theirs = scales.variables[tensor], scales.variables[out]
    counts = np.bincount(theirs, minlength=scales.count)
    sums = np.bincount(theirs, weights=later, minlength=scales.count)
    return (sums / np.maximum(counts, 1))[own]
