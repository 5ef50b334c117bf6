"""How much each output channel of each layer matters to the network's output: mean squared gradients.

The float graph is run with TensorFlow's own operators (:mod:`converters.reference.tf_ops`), so Keras models and bare
.tflite files are treated alike and gradients belong to exactly the ops that tfmpq rewrites.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from converters.layers.layer import Layer
from converters.reference.backpropagation import (
    Begun,
    Traced,
    backpropagate,
    begin,
    feeds_of,
    stack,
    tensorflow,
)
from converters.reference.heads import Head, heads_of, maker
from converters.reference.tf_ops import OpError, Program
from converters.tflite.graph import Graph, Op, Tensor


@dataclass(frozen=True)
class GradientResult:
    """Mean squared gradients, or why this graph has none here.

    Attributes:
        values: layer name -> float64 (C,) or (C, C).
        variances: layer name -> (C,), squared standard error of each mean over the samples; nothing for (C, C).
        reason: why there are none.
    """

    values: dict[str, np.ndarray] | None
    variances: Mapping[str, np.ndarray] = field(default_factory=dict)
    reason: str = ""


def channel_gradients(
    graph: Graph,
    layers: Sequence[Layer],
    samples: Iterable[Mapping[str, np.ndarray]],
    feed_tensors: Mapping[str, Tensor],
    *,
    limit: int = 32,
    draws: int = 2,
    batch: int = 8,
    seed: int = 0,
    moments: Collection[str] = (),
    progress: Callable[[int], None] | None = None,
) -> GradientResult:
    """Mean squared gradient at every output channel of every layer.

    For a classifier (one output, made by SOFTMAX or LOGISTIC) the gradient is that of the log-likelihood of a label
    sampled from the model itself, so the result is the diagonal of the Fisher information summed over positions. For
    any other network it is that of a random +-1 projection of its outputs, each divided by its standard deviation and
    the root of its size: the diagonal of the Gauss-Newton matrix of the normalized squared output error.

    Args:
        graph: the float graph that ``layers`` were found in.
        layers: what to report; a layer used several times gets the sum over its uses.
        samples: inputs by name, with the file's batch dimension.
        feed_tensors: those names -> the graph's input tensors.
        limit, draws: how many samples to take, and random labels or projections for each.
        batch: samples run at once; less where memory or an op that mixes samples asks for it. The random numbers, and
            so the result up to rounding, do not depend on it.
        seed: of the random labels or projections.
        moments: names of layers of which the whole second moment of the gradient is wanted, not only its diagonal.
        progress: called with the number of samples just done.

    Returns:
        Layer name -> float64 (C,): mean over samples and draws of the sum over positions of g_c^2, g the gradient at
        the layer's output with bias, before its fused activation; (C, C), of g g^T, for ``moments``. None with a
        reason if an operator has no TensorFlow counterpart here, or gradients are not finite.
    """
    heads = heads_of(graph)
    if not heads:
        return GradientResult(None, reason="no output of the graph is float32")
    feeds = list(feeds_of(itertools.islice(samples, limit), feed_tensors))
    if not feeds:
        return GradientResult(None, reason="there are no samples")

    tf = tensorflow()
    try:
        with tf.device("CPU"):
            begun = begin(tf, graph, heads, feeds, batch)
            values, variances = _squared_gradients(begun, layers, feeds, draws, seed, moments, progress)
            values = {name: value * begun.unit**2 for name, value in values.items()}
            variances = {name: value * begun.unit**4 for name, value in variances.items()}
    except OpError as error:
        return GradientResult(None, reason=str(error))
    for name, value in values.items():
        if not np.isfinite(value).all():
            return GradientResult(None, reason=f"layer {name!r}: the gradient at its output has NaN or Inf")
    return GradientResult(values, variances)


def _squared_gradients(
    begun: Begun,
    layers: Sequence[Layer],
    feeds: list[dict[Tensor, np.ndarray]],
    draws: int,
    seed: int,
    moments: Collection[str],
    progress: Callable[[int], None] | None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The means of :func:`channel_gradients`, and squared standard errors of those that are no matrices."""
    program, heads, batch = begun.program, begun.heads, begun.batch
    tf = program.tf
    # The gradient at the logits themselves is known without drawing labels, most of which few samples never draw.
    logits = maker(program.ops, heads[0].tensor) if heads[0].kind == "softmax" else None
    running = set(program.ops)
    uses = [(layer.name, use.float_op) for layer in layers for use in layer.uses if use.float_op in running]
    step = Traced(tf, partial(_step, program, heads, uses, moments, logits, list(feeds[0])))
    rng = np.random.default_rng(seed)
    totals = {layer.name: np.zeros((layer.channels,) * (2 if layer.name in moments else 1)) for layer in layers}
    squares = {name: np.zeros_like(total) for name, total in totals.items() if name not in moments}
    for start in range(0, len(feeds), batch):
        part = feeds[start : start + batch]
        each = [[head.noise(rng, (draws, *head.tensor.shape)) for head in heads] for _ in part]
        noise = [n[0] if len(n) == 1 else np.concatenate(n, 1) for n in zip(*each, strict=True)]
        inputs = [tf.constant(v) for v in stack(part).values()]
        sums = {name: np.zeros((len(part), len(total))) for name, total in totals.items() if name in squares}
        for draw in range(draws):
            drawn = [tf.constant(n[draw]) for n in noise]
            found = step(len(part), inputs, drawn)
            for (name, _), value in zip(uses, found, strict=True):
                if name in sums:
                    sums[name] += value.numpy() / draws
                else:
                    totals[name] += value.numpy() / draws
        for name, each_sample in sums.items():
            totals[name] += each_sample.sum(0)
            squares[name] += (each_sample**2).sum(0)
        if progress is not None:
            progress(len(part))
    count = len(feeds)
    means = {name: total / count for name, total in totals.items()}
    spread = {name: np.maximum(square / count - means[name] ** 2, 0.0) for name, square in squares.items()}
    # One sample tells nothing of the spread over samples.
    return means, {
        name: value / (count - 1) if count > 1 else np.full_like(value, np.inf) for name, value in spread.items()
    }


def _step(
    program: Program,
    heads: Sequence[Head],
    uses: Sequence[tuple[str, Op]],
    moments: Collection[str],
    logits: Op | None,
    sources: Sequence[Tensor],
    size: int,
    inputs: list[Any],
    noise: list[Any],
) -> list[Any]:
    """For every use of a layer g g^T of a batch, or g^2 of each of its ``size`` samples; traced as a graph."""
    tf, feeds = program.tf, dict(zip(sources, inputs, strict=True))
    outputs, gradients = backpropagate(program, heads, feeds, noise, lambda _, raw: [raw[op] for _, op in uses])
    found = []
    for (name, op), gradient in zip(uses, gradients, strict=True):
        if name in moments:
            flat = tf.reshape(gradient, [-1, gradient.shape[-1]])
            found.append(tf.matmul(flat, flat, transpose_a=True))
        else:
            square = heads[0].expected_square(tf, outputs[0]) if op is logits else tf.square(gradient)
            found.append(tf.reduce_sum(tf.reshape(square, [size, -1, gradient.shape[-1]]), 1))
    return found
