"""Cross-layer equalization: neighbouring layers share the range of each channel between them evenly.

Source: Nagel, van Baalen, Blankevoort, Welling, "Data-free quantization through weight equalization and bias
correction", ICCV 2019 (arXiv 1906.04721), section 4.1: with r1 the range of a channel's row in the layer that writes it
and r2 that of its column in the layer that reads it, the channel is divided by s = sqrt(r1 r2) / r2, pair after pair
until nothing changes. Only channels that one layer writes and one reads have such a pair.

Departures: RELU6 stays, and channels grow no further than its cap allows on the samples (there it becomes RELU), so
that the network computes the same; and the absorption of large biases is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from converters.layers.channel_rules import width
from converters.layers.kinds import kind_of
from converters.rewriting.channel_scales import FIXED, ChannelScales, channel_scales
from converters.rewriting.scaled import column_factors, scaled
from converters.tflite.graph import Graph
from tfmpq.activations.equalization.descent import Bounds
from tfmpq.activations.equalization.limits import factor_bounds, fixed_channels
from tfmpq.activations.subject import Case, Mended, Subject
from tfmpq.activations.values.statistics import channel_statistics

_SWEEPS = 20  # over all pairs; MobileNets change by less than a percent in the last
_SAMPLES = 32  # for what reaches a cap


@dataclass(frozen=True, eq=False)
class _Weights:
    """A layer's absolute weights, and the variables that scale them.

    Attributes:
        weight: (G, R, d).
        rows: (G, R) variable of each row.
        columns: (G, d) variable of each column.
    """

    weight: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def equalize_layers(subject: Subject, case: Case) -> Subject:
    """Scales the channels between pairs of layers, if that is asked for."""
    if case.options.equalize != "cross_layer":
        return subject
    graph = subject.model.graph
    scales = channel_scales(graph, fixed=fixed_channels(graph, case) | subject.tail_operands | set(subject.ranges))
    layers = _weights(graph, scales)
    known = channel_statistics(subject.model, list(islice(case.data.fit(), _SAMPLES)))
    factors = cross_layer_factors(layers, scales.count, factor_bounds(scales, known))
    changed = factors[factors != 1]
    if not len(changed):
        return subject
    why = f"{len(changed)} channels times {changed.min():.2g} to {changed.max():.2g}, so that weights have even ranges"
    entry = Mended("equalized", "all layers", why)
    model = scaled(subject.model, scales, factors)
    return replace(subject, model=model, measured=None, owners=None, mended=(*subject.mended, entry))


def cross_layer_factors(layers: Sequence[_Weights], count: int, bounds: Bounds) -> np.ndarray:
    """(count,) what each variable's channels are multiplied by: sqrt(r2 / r1), again and again.

    Args:
        layers: of the network, in order.
        count: of variables.
        bounds: that factors keep to.
    """
    writers, readers = np.zeros(count, int), np.zeros(count, int)
    turn = np.zeros(count, int)  # neighbouring pairs share a layer: they take turns
    for number, layer in enumerate(layers):
        writers[np.unique(layer.rows)] += 1
        readers[np.unique(layer.columns)] += 1
        turn[np.unique(layer.rows)] = number % 2
    paired = (writers == 1) & (readers == 1)
    paired[FIXED] = False
    factors = np.ones(count)
    for sweep in range(2 * _SWEEPS):
        written, read = _ranges(layers, factors)
        moved = paired & (turn == sweep % 2) & (written > 0) & (read > 0)
        factors[moved] *= np.sqrt(read[moved] / written[moved])
        factors = np.where(paired, np.clip(factors, bounds.lower, bounds.upper), 1.0)
    return factors


def _ranges(layers: Sequence[_Weights], factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(count,) largest scaled weights of each variable's rows, and of its columns."""
    written, read = np.zeros(len(factors)), np.zeros(len(factors))
    for layer in layers:
        weight = layer.weight * factors[layer.rows][:, :, None] / factors[layer.columns][:, None]
        np.maximum.at(written, layer.rows, weight.max(axis=2))
        np.maximum.at(read, layer.columns, weight.max(axis=1))
    return written, read


def _weights(graph: Graph, scales: ChannelScales) -> list[_Weights]:
    found = []
    for op in graph.ops:
        kind = kind_of(op)
        if kind is None or op.outputs[0] not in scales.variables:
            continue
        x, weight = op.input(kind.site.activation), op.input(kind.site.weight)
        if x not in scales.variables or weight.data is None:
            continue
        groups = kind.groups(width(x), weight.shape)
        rows = np.abs(kind.rows(weight.array())).astype(np.float64)
        found.append(
            _Weights(
                rows.reshape(groups, -1, rows.shape[1]),
                scales.variables[op.outputs[0]].reshape(groups, -1),
                column_factors(scales.variables[x], groups, (groups, rows.shape[1])),
            )
        )
    return found
