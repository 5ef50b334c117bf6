"""An activation held as two: what lies within a narrow range, and what lies beyond it; exactly, in the float model.

    x = fine + rest,    fine = x clipped to the narrow range,    rest = x - fine

Layers that read x then read both: C(x) = C(fine) + C(rest), with one weight. So do sums, where wanted: x + f is
(fine + f) + rest, which may stay two in turn. int8 gives ``fine`` small steps and ``rest`` large ones. ``fine`` is
computed a second time by whatever makes x, since what int8 has rounded cannot be made finer; its clip is what int8 does
anyway (:mod:`converters.rewriting.idle_ops`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from converters.layers.kinds import kind_of
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.new_ops import make_op

Range: TypeAlias = tuple[float, float]

# Besides layers: operators whose output has an int8 scale of its own, so that one tensor of theirs may have another
# than its copy. Others write at a fixed scale (SOFTMAX), or at that of what they read (MAX_POOL_2D, RESHAPE).
_FREE = frozenset("ADD SUB MUL MEAN SUM SQUARED_DIFFERENCE LEAKY_RELU PRELU HARD_SWISH GELU BATCH_MATMUL".split())  # noqa: SIM905
_LEVELS = 255
_NO_SUMS: Mapping[str, bool] = MappingProxyType({})
# x and fine are rounded, to half a step each, and kernels sum with errors of up to 2^-4 steps (integer_ops.py): inside
# the narrow range the difference of the two stays below (1/2 + 1/16) of both steps, which must be rounded to 0.
_COARSER = 1.3  # > (1/2 + 1/16) / (1/2 - 1/16)


@dataclass(frozen=True, eq=False)
class TwoPoints:
    """A float model in which one activation is held as two.

    Attributes:
        model: computes what it did before.
        ranges: tensor name -> range that its int8 scale has to cover, of x, fine and rest.
        idle: names of tensors whose operators are none any more in int8.
        partial: names of what layers and sums make of the two; their ranges are those of the data.
    """

    model: Model
    ranges: Mapping[str, Range]
    idle: frozenset[str]
    partial: Sequence[str]


def holdable(model: Model) -> dict[str, str | None]:
    """Why an activation of the main graph, by name, cannot be held as two; None if it can.

    Args:
        model: float.
    """
    graph = model.graph
    producers, readers = graph.producers(), graph.consumers()
    written = [t for op in graph.ops for t in op.outputs]
    return {t.name: _refused(t, producers.get(t), readers.get(t, ())) for t in (*graph.inputs, *written)}


def _refused(tensor: Tensor, producer: Op | None, readers: Iterable[Op]) -> str | None:
    if tensor.type != TensorType.FLOAT32:
        return "it holds no float values"
    if producer is not None and (len(producer.outputs) > 1 or not _free(producer)):
        return f"{producer.name} writes it at a scale that is not its own"
    if not any(_reads(op, tensor) for op in readers):
        return "no layer with constant weights and no sum reads it"
    return None


def _free(op: Op) -> bool:
    return kind_of(op) is not None or op.name in _FREE


def _reads(op: Op, tensor: Tensor) -> bool:
    """Whether the operator reads the tensor and adds up: what it makes of a sum is the sum of what it makes."""
    kind = kind_of(op)
    if kind is not None:
        weight, bias = op.input(kind.site.weight), op.optional_input(kind.site.bias)
        constant = weight.data is not None and (bias is None or bias.data is not None)
        return constant and op.input(kind.site.activation) is tensor
    same = op.code == BuiltinOperator.ADD and op.outputs[0].shape == tensor.shape
    return same and sum(t is tensor for t in op.inputs) == 1


def on_grid(span: Range) -> Range:
    """The range that int8 really covers when it is told to cover ``span``: with 0, and 0 an integer."""
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    step = (high - low) / _LEVELS
    zero = round(-low / step)
    return -zero * step, (_LEVELS - zero) * step


def step_of(span: Range) -> float:
    """Of the int8 scale that covers a range."""
    return (max(span[1], 0.0) - min(span[0], 0.0)) / _LEVELS


def rest_range(whole: Range, narrow: Range) -> Range:
    """What int8 has to cover of ``rest`` so that it is exactly 0 where x lies within the narrow range.

    Args:
        whole: of x, in int8.
        narrow: of fine, within it.
    """
    low, high = min(whole[0] - narrow[0], 0.0), max(whole[1] - narrow[1], 0.0)
    wider = max(1.0, _COARSER * (step_of(whole) + step_of(narrow)) / step_of((low, high)))
    return low * wider, high * wider


def two_points(
    model: Model, name: str, whole: Range, narrow: Range, *, sums: Mapping[str, bool] = _NO_SUMS
) -> TwoPoints:
    """Holds one activation as two.

    Args:
        model: float; it is not changed.
        name: of the activation; :func:`holdable` says which can be.
        whole: smallest and largest value of it.
        narrow: the part of that which has small steps; best as :func:`on_grid` gives it.
        sums: names of sums, of :func:`readers_of`, that are to read both -> whether they are to be held as two in turn,
            as the sum of fine and the other operand, and the same rest; if they can.

    Raises:
        ValueError: It cannot be held as two, or the ranges are not one within the other.
    """
    whole = min(*whole, *narrow, 0.0), max(*whole, *narrow, 0.0)  # a grid may go beyond by half a step
    if not 0 < step_of(narrow) < step_of(whole):
        raise ValueError(f"{narrow} is no narrower part of {whole}")
    if (reason := holdable(model).get(name, "there is none of that name")) is not None:
        raise ValueError(f"activation {name!r} cannot be held as two: {reason}")
    model = model.clone().model
    graph = model.graph
    x = next(t for t in (*graph.inputs, *(t for op in graph.ops for t in op.outputs)) if t.name == name)
    split = _Split(graph, x, narrow)
    pairs = {x: (split.fine, split.rest)}
    ops: list[Op] = [] if x in graph.producers() else split.ops
    for op in graph.ops:
        held = next((t for t in pairs if _reads(op, t)), None)
        if held is not None and kind_of(op) is None and op.outputs[0].name not in sums:
            held = None
        ops += [op] if held is None else split.read(op, held, pairs[held])
        ops += split.ops if x in op.outputs else []
        if held is not None and sums.get(op.outputs[0].name) and _plain_sum(op):
            pairs[op.outputs[0]] = (ops[-1].input(0), ops[-1].input(1))
    graph.ops = ops
    needed = graph.consumers().keys() | set(graph.outputs)
    graph.ops = [op for op in ops if op.outputs[0] not in pairs or op.outputs[0] in needed]
    clipped = dict.fromkeys((split.again.name, split.low.name, split.fine.name), narrow)
    ranges = {x.name: whole, **clipped, split.rest.name: rest_range(whole, narrow)}
    return TwoPoints(model, ranges, frozenset((split.low.name, split.fine.name)), split.partial)


@dataclass(frozen=True)
class Readers:
    """What reads an activation and can read two in its place.

    Attributes:
        layers: names of what layers with weights make of it.
        sums: names of sums that it is part of.
        held: those of them that can be held as two in turn, having no activation function.
    """

    layers: tuple[str, ...]
    sums: tuple[str, ...]
    held: frozenset[str]


def readers_of(model: Model, name: str) -> Readers:
    """What reads an activation of the main graph."""
    ops = [op for op in model.graph.ops if any(t is not None and t.name == name and _reads(op, t) for t in op.inputs)]
    sums = [op for op in ops if kind_of(op) is None]
    plain = frozenset(_writes(filter(_plain_sum, sums)))
    return Readers(tuple(_writes(op for op in ops if op not in sums)), tuple(_writes(sums)), plain)


def _plain_sum(op: Op) -> bool:
    return op.code == BuiltinOperator.ADD and not op.options.fusedActivationFunction


def _writes(ops: Iterable[Op]) -> Iterator[str]:
    return (op.outputs[0].name for op in ops)


class _Split:
    """The operators that make two tensors of one, and those that read them.

    Attributes:
        again, low, fine: x computed a second time, cut off above the narrow range, and below it.
        rest: what that leaves of x.
        ops: that write these.
        partial: names of what is made of them.
    """

    def __init__(self, graph: Graph, x: Tensor, narrow: Range) -> None:
        self._names = {t.name for t in graph.tensors()}
        self._x = x
        self.partial: list[str] = []
        self.again, self.low, self.fine = (self._like(x, part) for part in ("fine", "fine_below", "fine_clipped"))
        self.rest = self._like(x, "rest")
        producer = graph.producers().get(x)
        # Of an input: an operator that changes nothing, which int8 makes a conversion of the float input.
        again = replace(producer, outputs=[self.again]) if producer is not None else _leaky(x, self.again)
        self.ops = [
            again,
            _bound(BuiltinOperator.MINIMUM, self.again, self._number("upper", narrow[1]), self.low),
            _bound(BuiltinOperator.MAXIMUM, self.low, self._number("lower", narrow[0]), self.fine),
            make_op(BuiltinOperator.SUB, [x, self.fine], [self.rest], 1, "SubOptions"),
        ]

    def read(self, op: Op, x: Tensor, pair: tuple[Tensor, Tensor]) -> list[Op]:
        """What takes the place of an operator that reads x: it reads fine, and what it makes of rest is added."""
        y, fused = op.outputs[0], getattr(op.options, "fusedActivationFunction", 0)
        first, second = self._like(y, "of_fine"), pair[1]
        ops = [_reading(op, x, pair[0], first)]
        if kind_of(op) is not None:
            second = self._like(y, "of_rest")
            ops.append(self._without_bias(_reading(op, x, pair[1], second)))
        self.partial += [part.outputs[0].name for part in ops]
        total = make_op(BuiltinOperator.ADD, [first, second], [y], 1, "AddOptions", fusedActivationFunction=fused)
        return [*ops, total]

    def _without_bias(self, op: Op) -> Op:
        kind = kind_of(op)
        assert kind is not None
        slot, bias = kind.site.bias, op.optional_input(kind.site.bias)
        if slot is None or bias is None:
            return op
        zeros = np.zeros(bias.shape, np.float32).tobytes()  # kernels want one
        named = replace(bias, name=self._new(f"{op.outputs[0].name}_bias"), data=zeros)
        return replace(op, inputs=[named if i == slot else t for i, t in enumerate(op.inputs)])

    def _like(self, tensor: Tensor, part: str) -> Tensor:
        return replace(tensor, name=self._new(f"{tensor.name}_{part}"), data=None)

    def _number(self, part: str, value: float) -> Tensor:
        return Tensor(self._new(f"{self._x.name}_{part}"), (), TensorType.FLOAT32, np.float32(value).tobytes())

    def _new(self, name: str) -> str:
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name


def _reading(op: Op, x: Tensor, source: Tensor, output: Tensor) -> Op:
    """The operator, reading another tensor, without its activation function."""
    options = copy.copy(op.options)
    if hasattr(options, "fusedActivationFunction"):
        options.fusedActivationFunction = 0
    return replace(op, inputs=[source if t is x else t for t in op.inputs], outputs=[output], options=options)


def _bound(code: int, source: Tensor, limit: Tensor, output: Tensor) -> Op:
    return make_op(code, [source, limit], [output], 1, "MaximumMinimumOptions")


def _leaky(source: Tensor, output: Tensor) -> Op:
    return make_op(BuiltinOperator.LEAKY_RELU, [source], [output], 1, "LeakyReluOptions", alpha=1.0)
