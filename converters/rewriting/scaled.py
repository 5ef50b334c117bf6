"""A float model whose channels are scaled by the constants around them, so that it computes the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.layers.channel_rules import width
from converters.layers.kinds import WeightKind, kind_of
from converters.rewriting.channel_scales import PRODUCTS, WITH_CONSTANT, ChannelScales
from converters.tflite.graph import Model, Op, Tensor


def scaled(model: Model, scales: ChannelScales, values: np.ndarray) -> Model:
    """The model with each activation's channels multiplied by their factors; outputs stay as they are.

    Exact in real arithmetic. Behind a RELU6 it is exact only while scaled values stay below the cap, and unscaled
    ones did.

    Args:
        model: float; it is not changed.
        scales: from :func:`converters.rewriting.channel_scales.channel_scales` of its main graph.
        values: (scales.count,) factors > 0 of the variables; that of ``FIXED`` is 1.
    """
    clone = model.clone()
    made: dict[tuple[Tensor, bytes], Tensor] = {}
    for op, copied in clone.ops.items():
        if op.outputs and op.outputs[0] in scales.variables:
            for slot, array in _changed(op, scales, values).items():
                key = (op.input(slot), array.tobytes())
                if key not in made:  # a constant that several operators read stays one
                    old = clone.tensors[op.input(slot)]
                    made[key] = replace(old, shape=array.shape, data=array.tobytes(), shape_signature=None)
                copied.inputs[slot] = made[key]
    return clone.model


def _changed(op: Op, scales: ChannelScales, values: np.ndarray) -> Mapping[int, np.ndarray]:
    """Input position -> new constant."""
    out = scales.factors(op.outputs[0], values)
    if (kind := kind_of(op)) is not None:
        return _weights(op, kind, scales.factors(op.input(kind.site.activation), values), out)
    constants = [i for i, t in enumerate(op.inputs) if t is not None and t.data is not None]
    if op.name in WITH_CONSTANT and constants and (out != 1).any():
        return {i: _times(op.input(i), out) for i in constants}
    if op.name in PRODUCTS and len(constants) == 1:
        (slot,) = constants
        factor = out / scales.factors(op.input(1 - slot), values)
        if (factor != 1).any():
            return {slot: _times(op.input(slot), factor if op.name == "MUL" else 1 / factor)}
    return {}


def _times(constant: Tensor, factors: np.ndarray) -> np.ndarray:
    """A constant operand times factors of channels; a single number becomes one a channel."""
    return (constant.array() * factors).astype(np.float32)


def _weights(op: Op, kind: WeightKind, before: np.ndarray, after: np.ndarray) -> dict[int, np.ndarray]:
    if (before == 1).all() and (after == 1).all():
        return {}
    _, weight_slot, bias_slot = kind.site
    weight = op.input(weight_slot)
    rows = kind.rows(weight.array()).astype(np.float64)
    groups = kind.groups(width(op.input(kind.site.activation)), weight.shape)
    changed = rows * after[:, None] / column_factors(before, groups, rows.shape)
    result = {weight_slot: kind.tensor(changed.astype(np.float32), weight.shape)}
    bias = op.optional_input(bias_slot)
    if bias_slot is not None and bias is not None:
        result[bias_slot] = (bias.array().reshape(-1) * after).astype(np.float32).reshape(bias.shape)
    return result


def column_factors(channels: np.ndarray, groups: int, shape: tuple[int, ...]) -> np.ndarray:
    """What the input channels have, for each element of a weight matrix.

    Args:
        channels: (Cin,).
        groups: of the layer; each row reads Cin / groups of the channels.
        shape: (C, d) of its rows; the channel is the fastest axis of d.

    Returns:
        (C, d), or (1, d) for one group.
    """
    rows, columns = shape
    own = channels.reshape(groups, -1)
    tiled = np.tile(own, columns // own.shape[1])  # (groups, d)
    return tiled if groups == 1 else np.repeat(tiled, rows // groups, axis=0)
