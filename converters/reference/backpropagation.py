"""Backpropagation through a float graph with TensorFlow's own operators: what all kinds of gradients share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from converters.native_logs import quiet
from converters.reference.heads import Head
from converters.reference.tf_ops import OpError, Program
from converters.tflite.graph import NUMPY_TYPES, Graph, Op, Tensor

_MAX_ACTIVATIONS = 1 << 26  # bytes of float activations in a batch: backpropagation holds about twice as much
_MOST_SUMMANDS = 10_000  # of one sum that sums make; residual networks come to one a block
_BATCHING_TOLERANCE = 1e-3  # of the largest value: far above rounding, far below a mix-up of samples


def check_sums(ops: Sequence[Op]) -> None:
    """Refuses values that are added to themselves again and again: TensorFlow writes out sums of sums as one sum."""
    summands: dict[Tensor | None, int] = {}
    for op in ops:
        if op.name in ("ADD", "ADD_N"):
            count = sum(summands.get(tensor, 1) for tensor in op.inputs)
            if count > _MOST_SUMMANDS:
                raise OpError(f"{op.name} ({op.outputs[0].name!r}) adds up more than {_MOST_SUMMANDS:,} values")
            summands[op.outputs[0]] = count


def tensorflow() -> Any:
    """TensorFlow, without a word."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what fails is raised as well
    with quiet():
        import tensorflow as tf

        tf.zeros(1)  # the first operator looks for devices and says so
    return tf


# ---------------------------------------------------------------- samples


def stack(feeds: Sequence[Mapping[Tensor, np.ndarray]]) -> dict[Tensor, np.ndarray]:
    """Samples joined along the batch axis."""
    if len(feeds) == 1:
        return dict(feeds[0])
    return {tensor: np.concatenate([feed[tensor] for feed in feeds]) for tensor in feeds[0]}


def safe_batch(program: Program, feeds: list[dict[Tensor, np.ndarray]], heads: Sequence[Head], batch: int) -> int:
    """``batch``, or less: what fits in memory, and 1 if two samples run together differ from the same run alone."""
    bytes_each = sum(4 * int(np.prod(t.shape)) for op in program.ops for t in op.outputs)
    batch = max(1, min(batch, len(feeds), _MAX_ACTIVATIONS // max(1, bytes_each)))
    even = max(n for n in range(1, batch + 1) if len(feeds) % n == 0)
    batch = even if 2 * even >= batch else batch  # every size of batch is traced anew, which takes seconds
    pair = [feeds[0], feeds[-1]]
    alone = [program.run(feed)[0] for feed in pair]
    if batch == 1:
        return 1
    try:
        together = program.run(stack(pair))[0]
    except (OpError, ValueError):  # an op with the file's batch in its shapes; inputs without a batch axis
        return 1
    for head in heads:
        expected = np.concatenate([np.ravel(values[head.tensor]) for values in alone])
        found = np.ravel(together[head.tensor])
        if expected.shape != found.shape:
            return 1
        if np.abs(expected - found).max(initial=0) > _BATCHING_TOLERANCE * np.abs(expected).max(initial=0):
            return 1
    return batch


def feeds_of(
    samples: Iterable[Mapping[str, np.ndarray]], feed_tensors: Mapping[str, Tensor]
) -> Iterator[dict[Tensor, np.ndarray]]:
    """Samples by input name -> by input tensor, in its type."""
    return (
        {tensor: np.asarray(sample[name], NUMPY_TYPES[tensor.type]) for name, tensor in feed_tensors.items()}
        for sample in samples
    )


# ---------------------------------------------------------------- what is differentiated


@dataclass(frozen=True)
class Begun:
    """A graph that is ready to be differentiated.

    Attributes:
        program: to run.
        heads: what is differentiated, normalized.
        unit: in which projections are counted, see :func:`normalized`.
        batch: samples that may run at once.
    """

    program: Program
    heads: list[Head]
    unit: float
    batch: int


def begin(tf: Any, graph: Graph, heads: Sequence[Head], feeds: list[dict[Tensor, np.ndarray]], batch: int) -> Begun:
    """Makes a program of a float graph, and sees how many samples may run at once.

    Args:
        tf: TensorFlow.
        graph: float.
        heads: what is differentiated.
        feeds: samples to normalize by.
        batch: samples at once, at most.

    Raises:
        OpError: An operator has no counterpart, or values are added to themselves too often.
    """
    program = Program(tf, graph, [head.tensor for head in heads])
    check_sums(program.ops)
    batch = safe_batch(program, feeds, heads, batch)
    scaled, unit = normalized(program, feeds, heads, batch)
    return Begun(program, scaled, unit, batch)


def normalized(
    program: Program, feeds: list[dict[Tensor, np.ndarray]], heads: Sequence[Head], batch: int
) -> tuple[list[Head], float]:
    """Projections scaled by their tensor's standard deviation over all samples, and the unit in which they are counted.

    Squares of gradients for outputs of 1e20 or 1e-20 would leave float32. The unit is a power of two: no digit changes.
    """
    if all(head.kind != "projection" for head in heads):
        return list(heads), 1.0
    values: list[list[np.ndarray]] = [[] for _ in heads]
    for start in range(0, len(feeds), batch):
        found = program.run(stack(feeds[start : start + batch]))[0]
        for collected, head in zip(values, heads, strict=True):
            collected.append(np.ravel(found[head.tensor]))
    result = []
    for collected, head in zip(values, heads, strict=True):
        everything = np.concatenate(collected).astype(np.float64)
        spread = everything.std() or 1.0  # an output that never changes has no scale of its own
        result.append(Head(head.tensor, head.kind, float(1 / (spread * np.sqrt(everything.size / len(feeds))))))
    unit = float(np.ldexp(1.0, np.frexp(max(head.scale for head in result))[1]))
    return [replace(head, scale=head.scale / unit) for head in result], unit


class Traced:
    """A step of backpropagation as TensorFlow graphs, one for each size of batch: the last one may be smaller."""

    def __init__(self, tf: Any, step: Callable[[int, list[Any], list[Any]], list[Any]]) -> None:
        self._tf = tf
        self._step = step
        self._graphs: dict[int, Any] = {}

    def __call__(self, size: int, inputs: list[Any], noise: list[Any]) -> list[Any]:
        """What the step makes of a batch of ``size`` samples.

        Raises:
            OpError: TensorFlow or its CPU kernels lack an operator's gradient, or it holds the file's batch size.
        """
        try:
            if size not in self._graphs:
                graph = self._tf.function(partial(self._step, size), autograph=False)
                self._graphs[size] = graph.get_concrete_function(inputs, noise)
            return self._graphs[size](inputs, noise)
        except (LookupError, ValueError, self._tf.errors.OpError) as error:
            raise OpError(f"backpropagation: {str(error).strip().splitlines()[-1]}") from error


def backpropagate(
    program: Program,
    heads: Sequence[Head],
    feeds: Mapping[Tensor, Any],
    noise: Sequence[Any],
    wanted: Callable[[Mapping[Tensor, Any], Mapping[Op, Any]], list[Any]],
    *,
    direction: Callable[[Head, Any, Any, Any], Any] = Head.direction,
) -> tuple[list[Any], list[Any]]:
    """Gradients of the heads, each in its random direction; to be traced as a graph.

    Samples are independent, so the gradient of the summed objective holds each sample's own.

    Args:
        program: to run.
        heads: what is differentiated.
        feeds: values of the inputs.
        noise: randomness of every head.
        wanted: of the values of tensors and the raw outputs of operators, those at which gradients are wanted.
        direction: method of a head that makes its direction of TensorFlow, its value and its noise.

    Returns:
        The heads' values; the gradients, zeros where nothing depends on a value.
    """
    tf = program.tf
    values, raw = program.run(feeds)
    outputs = [values[head.tensor] for head in heads]
    directions = [direction(head, tf, value, n) for head, value, n in zip(heads, outputs, noise, strict=True)]
    return outputs, tf.gradients(outputs, wanted(values, raw), directions, unconnected_gradients="zero")
