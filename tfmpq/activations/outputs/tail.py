"""Which last operators of an output have to stay in float for its channels to survive int8."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.rewriting.output_parts import Rows, rows_behind
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.probe import probe
from tfmpq.activations.outputs.channel_loss import ChannelSums, channel_axes
from tfmpq.activations.values.int8_values import rounded
from tfmpq.suspicion.samples import Sample

# In int8 they write one range, whatever they are given.
_BOUNDED = {
    BuiltinOperator.LOGISTIC: (0.0, 255 / 256),
    BuiltinOperator.SOFTMAX: (0.0, 255 / 256),
    BuiltinOperator.TANH: (-1.0, 127 / 128),
}
_MOVES = {
    getattr(BuiltinOperator, name)
    for name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V")
}
_JOINS = {BuiltinOperator.CONCATENATION, BuiltinOperator.PACK}
# Cheap in float: what parts are joined, and boxes are decoded with.
_ELEMENTWISE = {
    getattr(BuiltinOperator, name)
    for name in (
        *("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "NEG", "ABS", "EXP", "SQUARE", "SQRT"),
        *("RELU", "RELU6", "LEAKY_RELU"),
    )
}
_LAST_OPS = _MOVES | _JOINS | _ELEMENTWISE | set(_BOUNDED)
_MOST_BYTES = 1 << 26  # of inner values held
_ENOUGH_DB = 36.0  # of a channel: about what int8 holds of one that has a scale to itself
_LEAST_FACTOR = 2.0**-10  # what is smaller may be larger on other data


@dataclass(frozen=True, eq=False)
class Scaling:
    """A tensor whose channels are to be scaled where they are made.

    Attributes:
        axis: along which the channels lie.
        factors: (channels,), powers of two.
        rows: layers that make it.
    """

    axis: int
    factors: np.ndarray
    rows: Sequence[Rows]

    def along(self, dimensions: int) -> np.ndarray:
        """The factors in a shape that broadcasts."""
        shape = [1] * dimensions
        shape[self.axis] = -1
        return self.factors.reshape(shape)


@dataclass(frozen=True, eq=False)
class Tail:
    """What stays in float of an output.

    Attributes:
        ops: the last operators, in graph order.
        scalings: tensors in front of them, or the output itself, that are scaled.
        after: what is left of the output's channels, as far as rounding in front of the tail takes it.
    """

    ops: tuple[Op, ...]
    scalings: Mapping[Tensor, Scaling]
    after: ChannelSums


class Inner:
    """An output, what it is computed from in its last steps, and the values of all that on some samples."""

    def __init__(self, model: Model, output: Tensor, samples: Sequence[Sample]) -> None:
        """Runs the float model.

        Raises:
            FileFormatError: The runtime cannot run a part of it.
        """
        self.model, self.output = model, output
        self.region = _region(model.graph, output)
        tensors = list(dict.fromkeys([output, *(t for op in self.region for t in _activations(op))]))
        size = sum(4 * int(np.prod(t.shape)) for t in tensors)
        interpreter = make_interpreter(probe(model, tensors))
        few = samples[: max(1, _MOST_BYTES // max(size, 1))]
        runs = [[value.copy() for value in run(interpreter, sample)] for sample in few]
        self.values = {t: [values[i] for values in runs] for i, t in enumerate(tensors)}

    def cut(self, ops: Collection[Op]) -> list[Tensor]:
        """What a tail of some operators reads."""
        made = {t for op in ops for t in op.outputs}
        read = dict.fromkeys(t for op in self.region if op in ops for t in _activations(op) if t not in made)
        return list(read) if ops else [self.output]

    def maker(self, tensor: Tensor) -> Op | None:
        """The last operator that writes a tensor; None if it is none that can stay in float."""
        return next((op for op in self.region if tensor in op.outputs), None)

    def bounds(self, tensor: Tensor) -> tuple[float, float] | None:
        """The range that the tensor has in int8 whatever its values are."""
        op = self.maker(tensor)
        while op is not None and op.code in _MOVES:
            op = self.maker(_activations(op)[0])
        return None if op is None else _BOUNDED.get(op.code)

    def in_int8(self, tensor: Tensor, scaling: Scaling | None = None) -> list[np.ndarray]:
        """What int8 makes of its values."""
        values = self.values[tensor]
        factors = np.float32(1) if scaling is None else scaling.along(values[0].ndim)
        small = [v / factors for v in values]
        low, high = self.bounds(tensor) or (float(min(v.min() for v in small)), float(max(v.max() for v in small)))
        return [rounded(v, low, high) * factors for v in small]

    def channels(self, tensor: Tensor, axis: int, scaling: Scaling | None = None) -> ChannelSums:
        """What int8 leaves of the channels of one of the tensors."""
        sums = ChannelSums(tensor.shape[axis])
        for expected, made in zip(self.values[tensor], self.in_int8(tensor, scaling), strict=True):
            sums.add(expected, made, axis)
        return sums

    def loss(self, axis: int, cut: Sequence[Tensor], held: Mapping[Tensor, Sequence[np.ndarray]]) -> ChannelSums:
        """What is left of the output's channels.

        Args:
            axis: of the channels.
            cut: tensors from which the output is computed.
            held: values of those of them that are not in float.
        """
        sums = ChannelSums(self.output.shape[axis])
        last = None if list(cut) == [self.output] else make_interpreter(probe(self.model, [self.output], inputs=cut))
        for i, expected in enumerate(self.values[self.output]):
            given = [held.get(t, self.values[t])[i] for t in cut]
            made = given[0] if last is None else run(last, {f"input_{k}": v for k, v in enumerate(given)})[0]
            sums.add(expected, made, axis)
        return sums


def find_tail(inner: Inner, axis: int, lost: np.ndarray, *, fixed: Collection[Op], least: int = 0) -> Tail:
    """Moves the cut in front of an output until no tensor at it loses channels of the output to int8.

    Args:
        inner: values on samples to choose by.
        axis: of the output's channels.
        lost: (channels,), those that the output's own int8 scale loses.
        fixed: layers whose weights must stay as they are.
        least: operators that are to stay in float in any case, of those that do more than move values.
    """
    ops: set[Op] = set()
    scalings: dict[Tensor, Scaling] = {}
    settled: set[Tensor] = set()
    while True:
        cut = inner.cut(ops)
        forced = sum(op.code not in _MOVES for op in ops) < least
        if forced:
            bad = [t for t in cut if t not in settled]
        else:
            open_ = [t for t in cut if t not in settled and inner.bounds(t) is None]
            bad = [t for t in open_ if (inner.loss(axis, cut, {t: inner.in_int8(t)}).lost & lost).any()]
        if not bad:
            break
        for tensor in bad:
            op = inner.maker(tensor)
            if op is not None and forced:
                ops |= _with_readers(inner, op)
                continue
            axes = (axis,) if tensor is inner.output else channel_axes(tensor.shape)
            scaling = _scaling(inner, tensor, axes, fixed)
            if scaling is not None:
                scalings[tensor] = scaling
            if scaling is not None or op is None:
                settled.add(tensor)
            else:
                ops |= _with_readers(inner, op)
    cut = inner.cut(ops)
    scalings = {t: s for t, s in scalings.items() if t in cut}
    after = inner.loss(axis, cut, {t: inner.in_int8(t, scalings.get(t)) for t in cut})
    return Tail(tuple(op for op in inner.region if op in ops), scalings, after)


def _with_readers(inner: Inner, op: Op) -> set[Op]:
    """The operator and all that read what it writes, directly or not: a tail has nothing behind it."""
    made, found = set(op.outputs), {op}
    for later in inner.region:  # in graph order
        if not made.isdisjoint(_activations(later)):
            found.add(later)
            made.update(later.outputs)
    return found


def _scaling(inner: Inner, tensor: Tensor, axes: Sequence[int], fixed: Collection[Op]) -> Scaling | None:
    """Factors for the channels of a tensor, where these differ in size and whole layers make it."""
    for axis in axes:
        rows = rows_behind(inner.model.graph, tensor, axis)
        if rows is None or any(entry.op in fixed for entry in rows):
            continue
        sums = inner.channels(tensor, axis)
        if sums.lost.any():
            return max((Scaling(axis, f, rows) for f in _factors(sums)), key=lambda s: _worth(inner, tensor, s))
    return None


def _factors(sums: ChannelSums) -> Iterator[np.ndarray]:
    """Powers of two that bring all channels to the size of the largest, or those that are small to a part of it.

    Where large channels are positive and small ones are not, int8 has to cover the small ones twice.
    """
    relative = np.where(sums.size > 0, sums.size, sums.size.max()) / sums.size.max()
    full = np.maximum(2.0 ** np.ceil(np.log2(relative)), _LEAST_FACTOR)
    for part in (1, 2, 4, 8):
        yield np.minimum(full * part, 1).astype(np.float32)


def _worth(inner: Inner, tensor: Tensor, scaling: Scaling) -> float:
    """Mean decibels of the channels; what is good enough counts no more for being better."""
    return float(np.minimum(inner.channels(tensor, scaling.axis, scaling).decibels, _ENOUGH_DB).mean())


def _region(graph: Graph, output: Tensor) -> list[Op]:
    """The last operators that lead to an output and nowhere else, as far as they may stay in float."""
    consumers, inputs = graph.consumers(), set(graph.inputs)
    others = [t for t in graph.outputs if t is not output]
    found: set[Op] = set()
    reached = {output}
    for op in reversed(graph.ops):
        given = [t for t in op.inputs if t is not None and t.data is None]
        tensors = [*given, *op.outputs]
        if (
            op.code in _LAST_OPS
            and not reached.isdisjoint(op.outputs)
            and all(t.type == TensorType.FLOAT32 and t not in inputs for t in tensors)
            and all(t not in others and set(consumers.get(t, ())) <= found for t in op.outputs)
        ):
            found.add(op)
            reached.update(given)
    return [op for op in graph.ops if op in found]


def _activations(op: Op) -> list[Tensor]:
    return [t for t in op.inputs if t is not None and t.data is None]
