"""What factors of channels must keep to: activations that stay as they are, and caps of RELU6."""

from __future__ import annotations

import numpy as np

from converters.layers.kinds import kind_of
from converters.rewriting.channel_scales import ChannelScales
from converters.tflite.graph import Graph
from tfmpq.activations.equalization.descent import Bounds
from tfmpq.activations.subject import Case
from tfmpq.activations.values.statistics import Statistics

_CAP_SHARE = 0.95  # of a RELU6's cap that scaled values may reach, besides what unseen ones are likely to exceed


def fixed_channels(graph: Graph, case: Case) -> frozenset[str]:
    """Names of activations that must stay: those that rules or given points keep."""
    found = set()
    for op in graph.ops:
        settings = case.settings(op)
        if settings.equalize == "off" or settings.range is not None:  # ranges by hand are of the model's own values
            found |= {tensor.name for tensor in op.outputs}
        kind = kind_of(op)
        if kind is not None and case.is_given(op):
            found |= {op.outputs[0].name, op.input(kind.site.activation).name}
    return frozenset(found)


def factor_bounds(scales: ChannelScales, *statistics: Statistics) -> Bounds:
    """Scaled values stay below the caps they pass; a channel that reaches its cap on samples cannot be scaled.

    Nothing is known of the size of a channel that is 0 on all samples: it becomes no larger.
    """
    lower, upper, largest = np.zeros(scales.count), np.full(scales.count, np.inf), np.zeros(scales.count)
    for tensor, own in scales.variables.items():
        for known in (each[tensor] for each in statistics if tensor in each):
            np.maximum.at(largest, own, np.maximum(np.abs(known.low), np.abs(known.high)))
    for tensor, cap in scales.caps.items():
        own = scales.variables[tensor]
        seen = [known[tensor] for known in statistics if tensor in known]
        high = np.max([np.full(len(own), 0.0 if seen else cap), *(known.high for known in seen)], axis=0)
        reach = np.max([high, *(known.high * known.growth for known in seen)], axis=0)
        room = _CAP_SHARE * cap / np.where(reach > 0, reach, np.inf)
        np.minimum.at(upper, own, np.maximum(room, 1.0))
        np.maximum.at(lower, own, np.where(_CAP_SHARE * cap <= high, 1.0, 0.0))
    return Bounds(lower, np.where(largest > 0, upper, 1.0))
