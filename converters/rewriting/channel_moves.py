"""Operators that only move values, where channels of the result are others than those of the input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.layers.channel_rules import width
from converters.rewriting.union import Union
from converters.tflite.graph import Op, Tensor, TensorType

Ids = Callable[[Tensor], np.ndarray]


def moved_channels(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    """Numbers of the channels of an operator's outputs, given those of its inputs.

    Args:
        op: any operator.
        ids: activation -> (channels,) numbers; channels of the same number have the same factor.
        union: joins numbers of input channels that become one channel.

    Returns:
        None for operators that do more than move values, or do not move channels.
    """
    rule = _RULES.get(op.name)
    return None if rule is None else rule(op, ids, union)


def _reshape(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    x, out = op.input(0), op.outputs[0]
    before, after = width(x), width(out)
    if before == after:
        return None
    if _merges(x.shape, after):  # flattened: (H, W, C) -> H * W * C
        return {out: np.tile(ids(x), after // before)}
    if _merges(out.shape, before):
        return {out: _folded(ids(x), after, union)}
    return None


def _merges(shape: tuple[int, ...], merged: int) -> bool:
    """Whether the last axes of a shape, taken together, have ``merged`` elements."""
    sizes = np.cumprod(shape[::-1]) if all(n > 0 for n in shape) else []
    return merged in list(sizes)


def _folded(numbers: np.ndarray, channels: int, union: Union) -> np.ndarray:
    """Numbers of ``channels`` channels which each hold every ``channels``-th of those that there were."""
    parts = numbers.reshape(-1, channels)
    union.tie(parts[0], parts)
    return parts[0]


def _depth_to_space(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    return {op.outputs[0]: _folded(ids(op.input(0)), width(op.outputs[0]), union)}


def _space_to_depth(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    x, out = op.input(0), op.outputs[0]
    return {out: np.tile(ids(x), width(out) // width(x))}


def _split(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    slot, axis_slot = (1, 0) if op.name == "SPLIT" else (0, 2)
    x, axis = op.input(slot), op.input(axis_slot)
    if axis.data is None:
        return None
    if int(axis.array().ravel()[0]) % len(x.shape) == len(x.shape) - 1:
        ends = np.cumsum([width(t) for t in op.outputs])
        return {t: ids(x)[end - width(t) : end] for t, end in zip(op.outputs, ends, strict=True)}
    return dict.fromkeys(op.outputs, ids(x))


def _slice(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    x, begin, out = op.input(0), op.input(1), op.outputs[0]
    if begin.data is None or width(x) == width(out):
        return None
    start = int(begin.array().ravel()[-1])
    return {out: ids(x)[start : start + width(out)]}


def _strided_slice(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    x, begin, strides, out = op.input(0), op.input(1), op.input(3), op.outputs[0]
    last, options = len(x.shape) - 1, op.options
    masks = options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask >> last & 1
    if begin.data is None or strides.data is None or masks or begin.shape != (last + 1,) or width(x) == width(out):
        return None
    start, step = int(begin.array()[last]), int(strides.array()[last])
    if step < 1:
        return None
    start = 0 if options.beginMask >> last & 1 else start % width(x)
    return {out: ids(x)[start::step][: width(out)]}


def _pad(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    """Channels of zeros beside those that there are, as in shortcuts of residual networks."""
    x, amounts = op.input(0), op.input(1)
    if amounts.data is None:
        return None
    before, after = amounts.array().reshape(-1, 2)[-1]
    if not (before or after):
        return None
    return {op.outputs[0]: np.concatenate([union.new(int(before)), ids(x), union.new(int(after))])}


def _concat(op: Op, ids: Ids, union: Union) -> dict[Tensor, np.ndarray] | None:
    """Along another axis than that of the channels; PACK likewise."""
    out = op.outputs[0]
    tensors = [t for t in op.inputs if t is not None]
    axis = op.options.axis % len(out.shape)
    if axis == len(out.shape) - 1 or any(width(t) != width(out) or t.type != TensorType.FLOAT32 for t in tensors):
        return None
    first, *rest = map(ids, tensors)
    for other in rest:
        union.tie(first, other)
    return {out: first}


_RULES: dict[str, Callable[[Op, Ids, Union], dict[Tensor, np.ndarray] | None]] = {
    "RESHAPE": _reshape,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "CONCATENATION": _concat,
    "PACK": _concat,
    "PAD": _pad,
}
