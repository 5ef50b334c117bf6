"""How much noise in each channel of each activation matters to the network's output: mean squared gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from converters.native_logs import quiet
from converters.reference.backpropagation import (
    Begun,
    Traced,
    backpropagate,
    begin,
    feeds_of,
    stack,
    tensorflow,
)
from converters.reference.heads import Head, heads_of
from converters.reference.tf_ops import OpError, Program
from converters.tflite.graph import Graph, Tensor, TensorType

_LEAST_SPREAD = 1e-4  # of a channel, relative to the output's: probabilities beside pixels, not what never changes


def activation_gradients(
    graph: Graph,
    samples: Sequence[Mapping[str, np.ndarray]],
    feed_tensors: Mapping[str, Tensor],
    *,
    spreads: Mapping[Tensor, np.ndarray] | None = None,
    draws: int = 2,
    batch: int = 8,
    seed: int = 0,
) -> dict[Tensor, np.ndarray] | str:
    """Mean squared gradients of the network's output at every float activation, inputs included.

    For a classifier (one output, made by SOFTMAX) that of the KL divergence to its own prediction, of tempered
    logits; for other networks that of the squared output error relative to the variance of an output, as for
    :func:`converters.reference.gradients.channel_gradients`, or of its channels.

    Args:
        graph: float.
        samples: inputs by name, with the file's batch dimension.
        feed_tensors: those names -> the graph's input tensors.
        spreads: output -> (C,) standard deviation of each of its channels, whose errors then count relative to it;
            where there is none, all channels count alike.
        draws: random projections for each sample.
        batch: samples run at once; less where memory or an operator that mixes samples asks for it.
        seed: of the projections.

    Returns:
        Activation -> float64 (C,): mean over samples and draws of the sum over positions of g_c^2. In words, why there
        are none, if an operator has no TensorFlow counterpart here or gradients are not finite.
    """
    heads = heads_of(graph)
    if not heads or not samples:
        return "no output of the graph is float32" if samples else "there are no samples"
    feeds = list(feeds_of(samples, feed_tensors))
    tf = tensorflow()
    try:
        with tf.device("CPU"):
            begun = begin(tf, graph, heads, feeds, batch)
            with quiet():
                found = _squares(begun, feeds, draws, seed, _weights(begun.heads, spreads or {}))
    except OpError as error:
        return str(error)
    if not all(np.isfinite(values).all() for values in found.values()):
        return "gradients have NaN or Inf"
    return found


def _squares(
    begun: Begun,
    feeds: list[dict[Tensor, np.ndarray]],
    draws: int,
    seed: int,
    weights: Sequence[np.ndarray],
) -> dict[Tensor, np.ndarray]:
    program, heads, batch = begun.program, begun.heads, begun.batch
    tf = program.tf
    sources = list(feeds[0])
    inner = [t for op in program.ops for t in op.outputs if t.type == TensorType.FLOAT32 and t.shape]
    wanted = [*(t for t in sources if t.type == TensorType.FLOAT32 and t.shape), *inner]
    rng = np.random.default_rng(seed)
    totals = [np.zeros(tensor.shape[-1]) for tensor in wanted]
    step = Traced(tf, partial(_step, program, heads, wanted, sources))
    for start in range(0, len(feeds), batch):
        part = feeds[start : start + batch]
        inputs = [tf.constant(v) for v in stack(part).values()]
        # The same for any batch.
        drawn = [[list(map(_noise, heads, [rng] * len(heads), weights)) for _ in range(draws)] for _ in part]
        for each in zip(*drawn, strict=True):
            noise = [tf.constant(n[0] if len(n) == 1 else np.concatenate(n)) for n in zip(*each, strict=True)]
            found = step(len(part), inputs, noise)
            totals = [total + value.numpy() for total, value in zip(totals, found, strict=True)]
    return {tensor: total / (len(feeds) * draws) for tensor, total in zip(wanted, totals, strict=True)}


def _weights(heads: Sequence[Head], spreads: Mapping[Tensor, np.ndarray]) -> list[np.ndarray]:
    """What the channels of each output count, 1 on average in the sense of the whole output's variance."""
    found = []
    for head in heads:
        spread = spreads.get(head.tensor) if head.kind == "projection" else None
        if spread is None or not spread.any():
            found.append(np.ones(1, np.float32))
            continue
        whole = float(np.sqrt(np.square(spread).mean()))
        found.append((whole / np.maximum(spread, _LEAST_SPREAD * whole)).astype(np.float32))
    return found


def _noise(head: Head, rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    if head.kind == "softmax":
        return rng.standard_normal(head.tensor.shape, np.float32)
    return head.noise(rng, head.tensor.shape) * weights


def _step(
    program: Program,
    heads: Sequence[Head],
    wanted: Sequence[Tensor],
    sources: Sequence[Tensor],
    size: int,
    inputs: list[Any],
    noise: list[Any],
) -> list[Any]:
    """For every activation g^2 summed over samples and positions; traced as a graph."""
    tf, feeds = program.tf, dict(zip(sources, inputs, strict=True))
    _, gradients = backpropagate(
        program, heads, feeds, noise, lambda values, _: [values[t] for t in wanted], direction=Head.tempered
    )
    return [tf.reduce_sum(tf.reshape(tf.square(g), [-1, g.shape[-1]]), 0) for g in gradients]
