"""Constants that mask scores in front of a softmax: where they enter, what they become there, and other values.

Masked scores are made huge and negative, by a SELECT, by a sum, or by a product such as (1 - mask) * -1e9. Found are
those whose every way through the graph ends in a softmax, so that nothing but exp() ever sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from converters.errors import FileFormatError
from converters.tflite.graph import Graph, Model, Op, Tensor, TensorType

_MOST_WAYS = 4096  # from one tensor; beyond, the graph is no attention
# Operators whose output holds values of input 0, or of all inputs, as they are.
_MOVES = {
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "BROADCAST_TO", "TILE", "SLICE", "STRIDED_SLICE", "GATHER",
}  # fmt: skip
_JOINS = {"CONCATENATION", "PACK", "MAXIMUM", "MINIMUM"}
_SELECTS = {"SELECT", "SELECT_V2"}  # values are inputs 1 and 2
PASSED_ON = frozenset(_MOVES | _JOINS | _SELECTS)  # operators whose output holds values of their inputs as they are


@dataclass(frozen=True, eq=False)
class Way:
    """One way from a tensor to a softmax, whose input is ``factor`` times the tensor, plus what is added on the way.

    Attributes:
        softmax: where it ends.
        factor: what the values are multiplied by.
        added: tensors added on the way, and the factors that they arrive with.
    """

    softmax: Op
    factor: float
    added: tuple[tuple[Tensor, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Mask:
    """A value that masks scores.

    Attributes:
        kind: ``"constant"``: its elements are added to the scores or take their place; ``"factor"``: one number that
            ``scaled`` is multiplied by, or divided by; ``"input"``: the caller of the model gives it.
        tensor: it.
        ways: of what its elements, or their products with ``scaled``, become. The factors have one sign.
        op: that reads it; None for an input.
        scaled: what a factor multiplies, not a constant.
        inverse: the factor is a divisor.
    """

    kind: Literal["constant", "factor", "input"]
    tensor: Tensor
    ways: tuple[Way, ...]
    op: Op | None = None
    scaled: Tensor | None = None
    inverse: bool = False


def find_masks(graph: Graph, least: float) -> list[Mask]:
    """Constants and inputs of the main graph that only softmaxes see, in execution order.

    Args:
        graph: float.
        least: constants whose elements are all smaller in magnitude are left out.
    """
    ways = softmax_ways(graph)
    found = [Mask("input", t, ways[t]) for t in graph.inputs if t.type == TensorType.FLOAT32 and ways.get(t)]
    for op in graph.ops:
        if len(op.outputs) == 1 and ways.get(op.outputs[0]):
            found += _entering(op, ways[op.outputs[0]], least)
    return [mask for mask in found if len({way.factor > 0 for way in mask.ways}) == 1]


def with_constants(model: Model, values: Mapping[Mask, np.ndarray]) -> Model:
    """The model with other values of masks; other readers of the same constants keep the old ones.

    Args:
        model: float; stays as it is.
        values: masks of its main graph that are no inputs -> float array of the constant's shape.
    """
    made: dict[tuple[Tensor, bytes], Tensor] = {}
    changed: dict[Op, dict[Tensor, Tensor]] = {}
    for mask, value in values.items():
        if mask.op is None:
            raise ValueError(f"{mask.tensor.name!r} is an input, whose values no rewriting changes")
        data = np.ascontiguousarray(value, np.float32).tobytes()
        number = sum(old is mask.tensor for old, _ in made)
        name = f"{mask.tensor.name}/mask" + (f"_{number}" if number else "")
        new = made.setdefault((mask.tensor, data), replace(mask.tensor, name=name, data=data))
        changed.setdefault(mask.op, {})[mask.tensor] = new
    ops = [
        replace(op, inputs=[changed[op].get(t, t) if t is not None else None for t in op.inputs])
        if op in changed
        else op
        for op in model.graph.ops
    ]
    return model.with_ops(ops)


# ---------------------------------------------------------------- where values go


def softmax_ways(graph: Graph) -> dict[Tensor, tuple[Way, ...]]:
    """Tensor -> all its ways to softmaxes; tensors that something else sees as well, or outputs, are not in it.

    Args:
        graph: float.
    """
    readers = graph.consumers()
    outputs = set(graph.outputs)
    result: dict[Tensor, tuple[Way, ...]] = {}
    # Backwards, so that the ways of what a reader writes are known.
    written = [t for op in reversed(graph.ops) for t in op.outputs]
    for tensor in (*written, *graph.inputs):
        if tensor in outputs or tensor not in readers:
            continue
        through = [_through(op, tensor, result) for op in readers[tensor]]
        ways = tuple(way for part in through if part is not None for way in part)
        if all(part is not None for part in through) and len(ways) <= _MOST_WAYS:
            result[tensor] = ways
    return result


def _through(op: Op, tensor: Tensor, known: Mapping[Tensor, tuple[Way, ...]]) -> Sequence[Way] | None:
    """Ways of a tensor through one of its readers; None: the reader sees more of it than exp() does."""
    places = [i for i, t in enumerate(op.inputs) if t is tensor]
    if op.name == "SOFTMAX":
        return (Way(op, 1.0),) if getattr(op.options, "beta", 1.0) == 1 else None
    if len(places) != 1 or len(op.outputs) != 1 or getattr(op.options, "fusedActivationFunction", 0):
        return None
    further = known.get(op.outputs[0])
    step = _step(op, places[0])
    if further is None or step is None:
        return None
    own, other, others = step
    return [
        Way(w.softmax, w.factor * own, w.added if other is None else (*w.added, (other, w.factor * others)))
        for w in further
    ]


def _step(op: Op, place: int) -> tuple[float, Tensor | None, float] | None:
    """What an operator makes of an operand: its factor, the tensor added to it, and that one's factor."""
    if op.name in _JOINS or (op.name in _MOVES and place == 0) or (op.name in _SELECTS and place):
        return 1.0, None, 0.0
    if op.name == "ADD":
        return 1.0, op.input(1 - place), 1.0
    if op.name == "SUB":
        sign = -1.0 if place else 1.0
        return sign, op.input(1 - place), -sign
    if op.name == "MUL" or (op.name == "DIV" and not place):
        number = _number(op.input(1 - place))
        if number:
            return (number if op.name == "MUL" else 1 / number), None, 0.0
    return None


def _number(tensor: Tensor) -> float | None:
    """A float constant of one element, if it is one and finite."""
    if not _is_constant(tensor) or int(np.prod(tensor.shape)) != 1:
        return None
    value = float(tensor.array().ravel()[0])
    return value if np.isfinite(value) else None


def _is_constant(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.data is not None and tensor.type == TensorType.FLOAT32


# ---------------------------------------------------------------- where masks come from


def _entering(op: Op, ways: Sequence[Way], least: float) -> Iterator[Mask]:
    """Masks among the constants that an operator reads, whose output has these ways."""
    places = [i for i, t in enumerate(op.inputs) if _is_constant(t) and _is_huge(op.input(i), least)]
    if getattr(op.options, "fusedActivationFunction", 0):
        return
    for place in places:
        tensor = op.input(place)
        if sum(t is tensor for t in op.inputs) > 1:
            continue
        if op.name == "MUL" or (op.name == "DIV" and place):
            scaled = op.input(1 - place)
            if _number(tensor) is not None and scaled.data is None:
                yield Mask("factor", tensor, tuple(ways), op, scaled, inverse=op.name == "DIV")
            continue
        step = _step(op, place)
        if step is None:
            continue
        own, other, others = step
        added = [w.added if other is None else (*w.added, (other, w.factor * others)) for w in ways]
        yield Mask(
            "constant",
            tensor,
            tuple(Way(w.softmax, w.factor * own, more) for w, more in zip(ways, added, strict=True)),
            op,
        )


def _is_huge(tensor: Tensor, least: float) -> bool:
    try:
        values = tensor.array()
    except FileFormatError:  # stored sparse: no mask is
        return False
    return values.size > 0 and not np.isnan(values).any() and float(np.abs(values).max()) >= least
