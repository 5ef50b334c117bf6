"""Which positions of a sequence the network's output depends on: those behind a mask, or that are not pooled, do not.

Filling up to a fixed length is most of what many text models read, and evidence gathered there is about nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from converters.layers.kinds import DENSE
from converters.layers.layer import Layer
from converters.reference.backpropagation import (
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

_NOTHING = 1e-8  # of the largest squared gradient of a sample at a layer: float32's rounding, squared and more
_BATCH = 16  # samples; no more than these are held at a time, after the first ones
_FIRST = 64  # samples that say how large outputs are, and whether a batch may be run at once

Relevance = Mapping[str, Sequence[np.ndarray]]  # layer name -> for each sample, bool (positions,)


def has_positions(layer: Layer) -> bool:
    """Whether it is a dense layer that is computed at each of several positions, or a table that all look into."""
    if layer.kind.table:
        return len(layer.uses) == 1
    return layer.kind is DENSE and len(layer.uses) == 1 and len(layer.uses[0].float_input.shape) > 2


def relevant_positions(
    graph: Graph,
    layers: Sequence[Layer],
    samples: Iterable[Mapping[str, np.ndarray]],
    feed_tensors: Mapping[str, Tensor],
    *,
    seed: int = 0,
) -> Relevance:
    """The positions at which a layer's output has a gradient that is not zero.

    Args:
        graph: the float graph that ``layers`` were found in.
        layers: of any kind; only those with positions are looked at.
        samples: inputs by name, with the file's batch dimension.
        feed_tensors: those names -> the graph's input tensors.
        seed: of the random projection of the outputs that is differentiated.

    Returns:
        For each layer with positions that are of no account in some sample; {} where nothing can be differentiated.
    """
    wanted, heads = [layer for layer in layers if has_positions(layer)], heads_of(graph)
    if not wanted or not heads:
        return {}
    feeds = feeds_of(samples, feed_tensors)
    tf = tensorflow()
    try:
        with tf.device("CPU"):
            first = list(itertools.islice(feeds, _FIRST))
            begun = begin(tf, graph, heads, first, _BATCH)
            every = itertools.chain(first, feeds)
            squares = _squares(begun.program, wanted, every, begun.heads, begun.batch, seed)
    except OpError:
        return {}
    found = {name: [_above(values) for values in each] for name, each in squares.items()}
    return {name: masks for name, masks in found.items() if not all(mask.all() for mask in masks)}


def _above(squares: np.ndarray) -> np.ndarray:
    """Bool (positions,); all where nothing is known."""
    largest = squares.max(initial=0.0)
    return squares > _NOTHING * largest if 0 < largest < np.inf else np.ones(len(squares), bool)


def _squares(
    program: Program,
    layers: Sequence[Layer],
    feeds: Iterator[dict[Tensor, np.ndarray]],
    heads: Sequence[Head],
    batch: int,
    seed: int,
) -> dict[str, list[np.ndarray]]:
    """Layer name -> squared gradients (positions,) of every sample, summed over channels."""
    tf, running = program.tf, set(program.ops)
    uses = [(layer.name, layer.uses[0].float_op) for layer in layers if layer.uses[0].float_op in running]
    part = list(itertools.islice(feeds, batch))
    step = Traced(tf, partial(_step, program, heads, [op for _, op in uses], list(part[0])))
    rng = np.random.default_rng(seed)
    result: dict[str, list[np.ndarray]] = {name: [] for name, _ in uses}
    while part:
        each = [[head.noise(rng, head.tensor.shape) for head in heads] for _ in part]
        noise = [tf.constant(n[0] if len(n) == 1 else np.concatenate(n)) for n in zip(*each, strict=True)]
        inputs = [tf.constant(v) for v in stack(part).values()]
        for (name, _), value in zip(uses, step(len(part), inputs, noise), strict=True):
            result[name] += list(value.numpy())
        part = list(itertools.islice(feeds, batch))
    return result


def _step(
    program: Program,
    heads: Sequence[Head],
    ops: Sequence[Op],
    sources: Sequence[Tensor],
    size: int,
    inputs: list[Any],
    noise: list[Any],
) -> list[Any]:
    """(samples, positions) for every op; traced as a graph."""
    tf, feeds = program.tf, dict(zip(sources, inputs, strict=True))
    _, gradients = backpropagate(program, heads, feeds, noise, lambda _, raw: [raw[op] for op in ops])
    return [tf.reduce_sum(tf.square(tf.reshape(g, [size, -1, g.shape[-1]])), -1) for g in gradients]
