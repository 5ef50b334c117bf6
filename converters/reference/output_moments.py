"""What the network makes of errors of several output channels of a layer together: second moments of gradients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from converters.layers.layer import Layer
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
from converters.tflite.graph import Graph, Op, Tensor


@dataclass(frozen=True)
class OutputMoments:
    """Second moments of gradients, or why this graph has none here.

    Attributes:
        values: layer name -> float64 (C, C).
        shares: layer name -> the share of what is off the diagonal that the samples tell nothing of, 0..1.
        reason: why there are none.
    """

    values: Mapping[str, np.ndarray]
    shares: Mapping[str, float]
    reason: str = ""


def output_moments(
    graph: Graph,
    layers: Sequence[Layer],
    samples: Sequence[Mapping[str, np.ndarray]],
    feed_tensors: Mapping[str, Tensor],
    *,
    draws: int,
    batch: int = 8,
    seed: int = 0,
    progress: Callable[[Sequence[int], int, str], Any] = lambda items, total, what: items,
) -> OutputMoments:
    """E[g g^T] over samples and draws, summed over positions, of g, the gradient at a layer's output.

    Of a classifier's KL divergence, of tempered logits, in random directions; of other networks that of the squared
    output error: see :meth:`Head.tempered`. What is off the diagonal is shrunk by how much it scatters from batch to
    batch: late layers have few positions that differ, and rows would make up for each other as these samples need it.

    Source of the shrinkage: Ledoit, Wolf, 2004, as in :mod:`tfmpq.measure.shrinkage`, towards the diagonal.

    Args:
        graph: the float graph that ``layers`` were found in.
        layers: what to report; a layer used several times gets the sum over its uses.
        samples: inputs by name, with the file's batch dimension.
        feed_tensors: those names -> the graph's input tensors.
        draws: random directions for each sample.
        batch: samples run at once; less where memory or an op that mixes samples asks for it.
        seed: of the directions.
        progress: wraps the iteration over batches.
    """
    heads = heads_of(graph)
    if not heads or not samples:
        return OutputMoments({}, {}, "no output of the graph is float32" if samples else "there are no samples")
    feeds = list(feeds_of(samples, feed_tensors))
    tf = tensorflow()
    try:
        with tf.device("CPU"):
            begun = begin(tf, graph, heads, feeds, batch)
            with quiet():
                found = _moments(begun, layers, feeds, draws, seed, progress)
    except OpError as error:
        return OutputMoments({}, {}, str(error))
    if not all(np.isfinite(value).all() for value in found.values.values()):
        return OutputMoments({}, {}, "gradients have NaN or Inf")
    return found


class _Scatter:
    """Running sums of batches' moments of one layer, of which the spread is known in the end."""

    def __init__(self, channels: int) -> None:
        self.total = np.zeros((channels, channels))
        self._norm, self._terms, self._count = 0.0, 0, 0

    def add(self, moment: np.ndarray, count: int) -> None:
        """A batch's sum of g g^T over ``count`` samples and draws."""
        self.total += moment
        mean = moment.astype(np.float64) / count
        self._norm += float(np.square(mean).sum() - np.square(np.diag(mean)).sum())
        self._terms, self._count = self._terms + 1, self._count + count

    def finish(self) -> tuple[np.ndarray, float]:
        """The shrunk mean, and the share that was taken from what is off its diagonal."""
        mean = self.total / self._count
        diagonal = np.diag(np.diag(mean))
        apart = mean - diagonal
        norm = float(np.square(apart).sum())
        if self._terms < 2 or norm == 0:  # one batch tells nothing of the spread
            return diagonal, 1.0
        variance = max(self._norm / self._terms - norm, 0.0) / (self._terms - 1)
        share = min(variance / norm, 1.0)
        return diagonal + (1 - share) * apart, share


def _moments(
    begun: Begun,
    layers: Sequence[Layer],
    feeds: list[dict[Tensor, np.ndarray]],
    draws: int,
    seed: int,
    progress: Callable[[Sequence[int], int, str], Any],
) -> OutputMoments:
    program, heads, batch = begun.program, begun.heads, begun.batch
    tf, running = program.tf, set(program.ops)
    uses = [(layer.name, use.float_op) for layer in layers for use in layer.uses if use.float_op in running]
    step = Traced(tf, partial(_step, program, heads, [op for _, op in uses], list(feeds[0])))
    rng = np.random.default_rng(seed)
    sums = {layer.name: _Scatter(layer.channels) for layer in layers}
    starts = range(0, len(feeds), batch)
    for start in progress(starts, len(starts), "gradients"):
        part = feeds[start : start + batch]
        inputs = [tf.constant(value) for value in stack(part).values()]
        drawn = [[[_noise(head, rng) for head in heads] for _ in range(draws)] for _ in part]
        moments: dict[str, np.ndarray] = {}
        for each in zip(*drawn, strict=True):
            noise = [tf.constant(n[0] if len(n) == 1 else np.concatenate(n)) for n in zip(*each, strict=True)]
            for (name, _), value in zip(uses, step(len(part), inputs, noise), strict=True):
                moments[name] = moments.get(name, 0.0) + value.numpy()
        for name, moment in moments.items():
            sums[name].add(moment, len(part) * draws)
    found = {name: each.finish() for name, each in sums.items() if name in dict(uses)}
    return OutputMoments({n: value for n, (value, _) in found.items()}, {n: share for n, (_, share) in found.items()})


def _noise(head: Head, rng: np.random.Generator) -> np.ndarray:
    if head.kind == "softmax":
        return rng.standard_normal(head.tensor.shape, np.float32)
    return head.noise(rng, head.tensor.shape)


def _step(
    program: Program,
    heads: Sequence[Head],
    ops: Collection[Op],
    sources: Sequence[Tensor],
    size: int,
    inputs: list[Any],
    noise: list[Any],
) -> list[Any]:
    """G g^T of a batch summed over samples and positions, for every op; traced as a graph."""
    del size
    tf, feeds = program.tf, dict(zip(sources, inputs, strict=True))
    _, gradients = backpropagate(
        program, heads, feeds, noise, lambda _, raw: [raw[op] for op in ops], direction=Head.tempered
    )
    flat = [tf.reshape(g, [-1, g.shape[-1]]) for g in gradients]
    return [tf.matmul(g, g, transpose_a=True) for g in flat]
