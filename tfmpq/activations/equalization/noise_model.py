"""Predicted noise of int8 activations and of rounded weights, as a function of the factors of channels.

With z = log f every term is a sum of exponentials, or a power of a maximum of some: the sum is a geometric program,
convex in z, so that a descent finds the best factors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.layers.channel_rules import width
from converters.layers.kinds import kind_of
from converters.points import INT8_LIMIT, MAX_BITS
from converters.rewriting.channel_scales import ChannelScales
from converters.rewriting.scaled import column_factors
from converters.tflite.graph import Graph, Tensor
from tfmpq.activations.values.statistics import Statistics

_SAME_SCALE = """
    CONCATENATION RESHAPE SQUEEZE EXPAND_DIMS PAD PADV2 MIRROR_PAD MAX_POOL_2D AVERAGE_POOL_2D TRANSPOSE SLICE
    STRIDED_SLICE SPLIT SPLIT_V RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR TILE GATHER PACK UNPACK SPACE_TO_BATCH_ND
    BATCH_TO_SPACE_ND DEPTH_TO_SPACE SPACE_TO_DEPTH MAXIMUM MINIMUM
""".split()  # noqa: SIM905
_MOST_ROWS = 64  # of a layer that stand for all: steps of rows are much alike
_STEPS = 255  # of an int8 scale
_OFF_GRID = 1e-3  # of a step: far more than float32 loses of 127 steps, far less than chance leaves of several weights


@dataclass(frozen=True, eq=False)
class ActivationScale:
    """Activations that have one int8 scale, and the noise it makes.

    Attributes:
        variables, low, high: (n,) of all their channels: number of the variable, ends of
            the unscaled values (<= 0, >= 0).
        noisy: (m,) variables of the channels that are rounded to it.
        weights: (m,) what their mean squared noise counts.
    """

    variables: np.ndarray
    low: np.ndarray
    high: np.ndarray
    noisy: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Rounding:
    """A layer whose columns share the steps of its rows.

    Attributes:
        variables: (G, d) variable of each column of each group of rows.
        rows: (G, R, d) unscaled absolute weights of some rows.
        energies: (G, d) variance of the columns' unscaled inputs.
        bits: of a row.
        weights: (G, R) what the mean squared noise of each row's outputs counts.
        on_grid: (G, R) whether rows lie on a grid of 8 bits as they are, and lose nothing if nothing is scaled.
    """

    variables: np.ndarray
    rows: np.ndarray
    energies: np.ndarray
    bits: int
    weights: np.ndarray
    on_grid: np.ndarray


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """All terms of a graph.

    Attributes:
        count: number of variables.
        scales: of activations.
        roundings: of layers.
    """

    count: int
    scales: Sequence[ActivationScale]
    roundings: Sequence[Rounding]

    def part_of(self, variables: np.ndarray) -> NoiseModel:
        """The terms that some variables have a part in."""
        wanted = np.zeros(self.count, bool)
        wanted[variables] = True
        scales = [s for s in self.scales if wanted[s.variables].any() or wanted[s.noisy].any()]
        return NoiseModel(self.count, scales, [r for r in self.roundings if wanted[r.variables].any()])


def noise_model(
    graph: Graph,
    scales: ChannelScales,
    statistics: Statistics,
    counts: Mapping[Tensor, np.ndarray],
    bits: Mapping[str, int],
) -> NoiseModel:
    """The terms of a graph.

    Args:
        graph: float.
        scales: its variables.
        statistics: of its activations.
        counts: activation -> (C,) what its mean squared noise counts.
        bits: name of what a layer writes -> bits of its rows.
    """
    return NoiseModel(
        scales.count,
        _activation_scales(graph, scales, statistics, counts),
        _roundings(graph, scales, statistics, counts, bits),
    )


def _activation_scales(
    graph: Graph, scales: ChannelScales, statistics: Statistics, counts: Mapping[Tensor, np.ndarray]
) -> list[ActivationScale]:
    parents: dict[Tensor, Tensor] = {}

    def root(tensor: Tensor) -> Tensor:
        while tensor in parents:
            tensor = parents[tensor]
        return tensor

    passed: set[Tensor] = set()  # takes over the integers of others
    for op in graph.ops:
        if op.name in _SAME_SCALE:
            for out in op.outputs:
                for tensor in (t for t in op.inputs if t is not None and t in statistics and out in statistics):
                    if (a := root(tensor)) is not (b := root(out)):
                        parents[b] = a
                    passed.add(out)
    members: dict[Tensor, list[Tensor]] = {}
    for tensor in statistics:
        if tensor in scales.variables:
            members.setdefault(root(tensor), []).append(tensor)
    result = []
    for tensors in members.values():
        noisy = [t for t in tensors if t not in passed]
        result.append(
            ActivationScale(
                np.concatenate([scales.variables[t] for t in tensors]),
                np.minimum(np.concatenate([statistics[t].low for t in tensors]), 0),
                np.maximum(np.concatenate([statistics[t].high for t in tensors]), 0),
                np.concatenate([np.zeros(0, np.int64), *(scales.variables[t] for t in noisy)]),
                np.concatenate([np.zeros(0), *(_changing(t, statistics, counts) for t in noisy)]),
            )
        )
    return result


def _changing(tensor: Tensor, statistics: Statistics, counts: Mapping[Tensor, np.ndarray]) -> np.ndarray:
    """What noise in its channels counts; none in those that never change, which biases repair."""
    known = statistics[tensor]
    return np.where(known.high > known.low, counts.get(tensor, np.zeros(width(tensor))), 0.0)


def _roundings(
    graph: Graph,
    scales: ChannelScales,
    statistics: Statistics,
    counts: Mapping[Tensor, np.ndarray],
    bits: Mapping[str, int],
) -> list[Rounding]:
    result = []
    for op in graph.ops:
        kind = kind_of(op)
        if kind is None or kind.per_channel or op.outputs[0] not in statistics or op.outputs[0].name not in bits:
            continue
        x, weight = op.input(kind.site.activation), op.input(kind.site.weight)
        if x not in scales.variables or x not in statistics or op.outputs[0] not in counts:
            continue
        groups = kind.groups(width(x), weight.shape)
        rows = np.abs(kind.rows(weight.array())).astype(np.float32)
        by_group = rows.reshape(groups, -1, rows.shape[1])
        step = -(-by_group.shape[1] // _MOST_ROWS)
        shape = (groups, rows.shape[1])
        result.append(
            Rounding(
                column_factors(scales.variables[x], groups, shape),
                by_group[:, ::step],
                column_factors(statistics[x].variance, groups, shape),
                bits[op.outputs[0].name],
                step * counts[op.outputs[0]].reshape(groups, -1)[:, ::step],
                _on_grid(by_group[:, ::step], bits[op.outputs[0].name]),
            )
        )
    return result


def _on_grid(rows: np.ndarray, bits: int) -> np.ndarray:
    """Which absolute rows (G, R, d) are whole multiples of a 127th of their largest, (G, R); none below 8 bits."""
    if bits < MAX_BITS:
        return np.zeros(rows.shape[:2], bool)
    codes = rows / np.maximum(rows.max(axis=2, keepdims=True) / np.float32(INT8_LIMIT), np.finfo(np.float32).tiny)
    return (np.abs(codes - np.rint(codes)) < _OFF_GRID).all(axis=2)
