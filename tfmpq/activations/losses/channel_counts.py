"""How much the channels of every activation count in the outputs, as far as weights alone tell.

A small channel that the next layer multiplies by a hundred matters as much as a large one that it multiplies by one.
Energies are followed from the outputs back to each tensor: through a layer by the squares of its weights, through what
works channel by channel unchanged. Slopes of nonlinear functions are taken to be alike for all channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from converters.layers.kinds import kind_of, weights_of
from converters.points import row_parts
from converters.tflite.graph import Graph, Op, Tensor

_LARGEST = 1e200  # of deep networks of large weights; only the ratios within a tensor are used
_MIXES = {"SOFTMAX", "LOG_SOFTMAX", "BATCH_MATMUL", "L2_NORMALIZATION", "TRANSPOSE", "MUL", "DIV"}


def channel_counts(graph: Graph) -> dict[Tensor, np.ndarray]:
    """Weight of an error's energy in every channel (the last axis) of every activation.

    Args:
        graph: float.

    Returns:
        Activation -> float64 (channels,), at least 0; ones where nothing is known.
    """
    found: dict[Tensor, np.ndarray] = {tensor: np.ones(channels_of(tensor)) for tensor in graph.outputs}
    for op in reversed(graph.ops):
        for tensor, energy in _through(op, found):
            before = found.get(tensor)
            found[tensor] = np.minimum(energy if before is None else before + energy, _LARGEST)
    return {tensor: energy if energy.any() else np.ones_like(energy) for tensor, energy in found.items()}


def channels_of(tensor: Tensor) -> int:
    """Length of the last axis; 1 for a single number."""
    return tensor.shape[-1] if tensor.shape else 1


def _through(op: Op, found: dict[Tensor, np.ndarray]) -> Iterator[tuple[Tensor, np.ndarray]]:
    """What an operator's inputs count, given what its outputs do."""
    outputs = [found.get(tensor, np.ones(channels_of(tensor))) for tensor in op.outputs]
    varying = [t for t in op.inputs if t is not None and t.data is None]
    if not outputs or not varying:
        return
    kind = kind_of(op)
    if kind is not None and any(weights_of(op)) and op.input(kind.site.activation).data is None:
        source = op.input(kind.site.activation)
        yield source, _columns(op, outputs[0], channels_of(source))
        return
    energy = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
    if op.name == "CONCATENATION" and sum(map(channels_of, varying)) == energy.size:
        yield from zip(varying, np.split(energy, np.cumsum([channels_of(t) for t in varying])[:-1]), strict=True)
        return
    factor = _factor(op, energy.size)
    for tensor in varying:
        yield tensor, _fitting(energy if factor is None else energy * factor, tensor, op, known=factor is not None)


def _columns(op: Op, energy: np.ndarray, channels: int) -> np.ndarray:
    """Through a layer: the squares of the weights that read each channel, each row as much as its output counts."""
    kind = kind_of(op)
    assert kind is not None
    array = op.input(kind.site.weight).array()
    rows = kind.rows(array)
    if kind.per_channel:  # row r reads channel r // (rows / channels)
        taps = np.square(rows.astype(np.float64)).sum(axis=1) * energy
        return taps.reshape(channels, -1).sum(axis=1) if len(taps) % channels == 0 else np.ones(channels)
    own = array.shape[-1]  # of the channels, those of one group
    groups = max(1, channels // own)
    if len(energy) != len(rows) or own * groups != channels or len(rows) % groups:
        return np.ones(channels)
    total = np.zeros((groups, own))
    for part in row_parts(*rows.shape):
        squares = np.square(rows[part].astype(np.float64)).reshape(-1, rows.shape[1] // own, own).sum(axis=1)
        group = np.arange(part.start, part.start + len(squares)) // (len(rows) // groups)
        np.add.at(total, group, squares * energy[part, None])
    return total.reshape(-1)


def _factor(op: Op, channels: int) -> np.ndarray | None:
    """Squares of the constants that an operator multiplies channels by; None: it does not."""
    constants = [t for t in op.inputs if t is not None and t.data is not None]
    if op.name != "MUL" or len(constants) != 1:
        return None
    values = np.square(constants[0].array().astype(np.float64))
    if values.size not in (1, channels) or (values.size == channels and channels_of(constants[0]) != channels):
        return None
    return np.broadcast_to(values.reshape(-1), channels)


def _fitting(energy: np.ndarray, tensor: Tensor, op: Op, *, known: bool) -> np.ndarray:
    """Energies of an operator's output by channel of its input."""
    channels = channels_of(tensor)
    if op.name not in _MIXES or known:
        if channels == energy.size:
            return energy
        if op.name == "RESHAPE" and energy.size % channels == 0:  # maps laid flat
            return energy.reshape(-1, channels).sum(axis=0)
    return np.full(channels, energy.mean())
