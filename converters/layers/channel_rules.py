"""What operators do with channels, the last axis of an activation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Op, Tensor, TensorType


def joined_inputs(op: Op) -> tuple[int, ...] | str:
    """Inputs whose channels are, one by one, those of the op's only output; if there are none, why.

    Such an input may also have a single channel, which the op broadcasts.
    """
    rule = _RULES.get(op.code)
    return f"op {op.name} is not known to keep channels apart" if rule is None else rule(op)


def ignores_order(op: Op) -> bool:
    """Whether the result is the same for every order of the input's channels."""
    if op.code in (BuiltinOperator.SHAPE, BuiltinOperator.RANK):
        return True
    return _RULES.get(op.code) is _reduce and getattr(op.options, "keepDims", False) and _reduces_channels(op)


def joins_channels(op: Op) -> bool:
    """Whether the op is a CONCATENATION along the channels."""
    last = len(op.outputs[0].shape) - 1
    return op.code == BuiltinOperator.CONCATENATION and getattr(op.options, "axis", 0) in (-1, last)


def unreadable(tensor: Tensor) -> str | None:
    """Why a constant cannot be reordered; None if it can."""
    raw = tensor.raw
    if raw is not None and raw.sparsity is not None:
        return f"constant '{tensor.name}' is stored sparse"
    if raw is not None and raw.quantization is not None and raw.quantization.details is not None:
        return f"constant '{tensor.name}' is quantized in blocks"
    if tensor.type != TensorType.INT4 and tensor.type not in NUMPY_TYPES:
        return f"constant '{tensor.name}' has a type that cannot be read"
    return None


def width(tensor: Tensor) -> int:
    """Number of channels."""
    return tensor.shape[-1] if tensor.shape else 1


# ---------------------------------------------------------------- the rules behind joined_inputs


def _every_input(op: Op) -> tuple[int, ...]:
    return tuple(range(len(op.inputs)))


def _first_input(op: Op) -> tuple[int, ...]:
    return (0,)


def _reshape(op: Op) -> tuple[int, ...] | str:
    before, after = op.input(0).shape, op.outputs[0].shape
    # Channels change fastest in memory, so the same last axis means the same channels.
    return (0,) if before[-1:] == after[-1:] else f"{op.name} {before} -> {after} does not keep the channel axis"


def _pad(op: Op) -> tuple[int, ...] | str:
    amounts = _argument(op, 1)
    if amounts is None:
        return f"{op.name} takes its amounts from the graph"
    return f"{op.name} adds channels" if amounts.reshape(-1, 2)[-1].any() else (0,)


def _tile(op: Op) -> tuple[int, ...] | str:
    multiples = _argument(op, 1)
    if multiples is None:
        return f"{op.name} takes its multiples from the graph"
    return (0,) if multiples[-1] == 1 else f"{op.name} repeats channels"


def _transpose(op: Op) -> tuple[int, ...] | str:
    axes = _argument(op, 1)
    return (0,) if axes is not None and axes[-1] == len(axes) - 1 else f"{op.name} moves the channel axis"


def _slice(op: Op) -> tuple[int, ...] | str:
    begin = _argument(op, 1)
    whole = begin is not None and begin[-1] == 0 and width(op.input(0)) == width(op.outputs[0])
    return (0,) if whole else f"{op.name} may cut channels"


def _strided_slice(op: Op) -> tuple[int, ...] | str:
    begin, strides, options = _argument(op, 1), _argument(op, 3), op.options
    last = len(op.input(0).shape) - 1
    if options is not None and not options.ellipsisMask and not options.newAxisMask:
        if begin is not None and len(begin) <= last:  # the axes that are not named are taken whole
            return (0,)
        if begin is not None and strides is not None and not options.shrinkAxisMask >> last & 1:
            first = begin[last] == 0 or options.beginMask >> last & 1
            if first and strides[last] == 1 and width(op.input(0)) == width(op.outputs[0]):
                return (0,)
    return f"{op.name} may cut channels"


def _space_batch(op: Op) -> tuple[int, ...] | str:
    block = _argument(op, 1)
    spatial = block is not None and len(block) <= len(op.input(0).shape) - 2
    return (0,) if spatial else f"{op.name} may move channels"


def _reduce(op: Op) -> tuple[int, ...] | str:
    if _argument(op, 1) is None:
        return f"{op.name} takes its axes from the graph"
    return f"{op.name} drops the channel axis" if _reduces_channels(op) else (0,)


def _gather(op: Op) -> tuple[int, ...] | str:
    axis, last = getattr(op.options, "axis", None), len(op.input(0).shape) - 1
    whole = axis is not None and axis % (last + 1) < last  # rows of a table, each with all its channels
    return (0,) if whole else f"{op.name} picks channels"


def _softmax(op: Op) -> str:
    return f"{op.name} adds up channels, and how it rounds may depend on their order"


def _argument(op: Op, slot: int) -> np.ndarray | None:
    """A constant operand that says what to do; None if the graph computes it."""
    tensor = op.input(slot)
    return None if tensor.data is None else np.atleast_1d(tensor.array())


def _reduces_channels(op: Op) -> bool:
    axes, rank = _argument(op, 1), len(op.input(0).shape)
    return axes is not None and rank - 1 in {int(a) % rank for a in axes}


_ELEMENTWISE = """
    ADD SUB MUL DIV MAXIMUM MINIMUM SQUARED_DIFFERENCE POW ADD_N PRELU RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 LEAKY_RELU
    ELU GELU HARD_SWISH LOGISTIC TANH ABS NEG EXP LOG SQRT RSQRT SQUARE SIN COS FLOOR CEIL ROUND SIGN CAST QUANTIZE
    DEQUANTIZE
"""
_NAMED: dict[str, Callable[[Op], tuple[int, ...] | str]] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _every_input),
    "CONCATENATION": _every_input,  # along another axis; see joins_channels
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), _first_input),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _first_input),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshape),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), _space_batch),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), _reduce),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX"), _softmax),
    "GATHER": _gather,
    "L2_NORMALIZATION": _first_input,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
}
# By code, not by name: a custom operator may have any name.
_RULES = {getattr(BuiltinOperator, name): rule for name, rule in _NAMED.items()}
