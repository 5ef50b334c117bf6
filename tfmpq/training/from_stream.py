"""Training on more samples than memory holds: shards, read anew in another order for every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from converters.frontend.float_model import InputSpec
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.shards.stream import mixed, stream_of
from tfmpq.training.examples import SAMPLES, Examples

_OPENED = 8  # shards that are read at a time: those of one class each are mixed
_HELD, _HELD_BYTES = 4096, 1 << 28  # samples that wait for their turn, and what they may take


def of_stream(data: Labelled, specs: Sequence[InputSpec], *, batch_size: int, seed: int) -> Examples:
    """Samples in batches: every epoch reads all of them, from shards in another order, and mixes neighbours.

    Args:
        data: from :func:`tfmpq.training.examples.ordered`, read from a stream; labels from
            :meth:`Objective.checked`.
        specs: the model's inputs.
        batch_size: samples a batch; the last one may have fewer.
        seed: of the order.
    """
    stream, labels = stream_of(data), data.labels
    assert stream is not None
    size = sum(array.nbytes for array in stream.first.values())
    held = min(_HELD, max(_HELD_BYTES // size, 1))
    signature: list[Any] = [
        tf.TensorSpec((None, *array.shape[1:]), spec.dtype)
        for array, spec in zip(data.inputs.values(), specs, strict=True)
    ]
    if labels is not None:
        signature.append(tf.TensorSpec((None, *labels.shape[1:]), labels.dtype))

    def epoch(number: Any) -> Iterator[tuple[np.ndarray, ...]]:
        order = mixed(stream, np.random.default_rng((seed, int(number))), opened=_OPENED, held=held)
        while batch := list(islice(order, batch_size)):
            inputs = [np.concatenate([sample[spec.name] for sample, _ in batch]).astype(spec.dtype) for spec in specs]
            yield tuple(inputs) if labels is None else (*inputs, labels[[number for _, number in batch]])

    def of_epoch(number: Any) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(epoch, args=(number,), output_signature=tuple(signature))

    def paired(*tensors: Any) -> tuple[Any, ...]:
        inputs = tuple(tensors[: len(specs)])
        return (inputs,) if labels is None else (inputs, tensors[-1])

    def batches(epochs: int) -> tf.data.Dataset:
        return tf.data.Dataset.range(epochs).flat_map(of_epoch).map(paired).prefetch(1)

    count = len(stream)
    chosen = np.arange(min(SAMPLES, count)) * count // min(SAMPLES, count)
    pieces = stream.of(chosen).pieces
    samples = [[sample[spec.name].astype(spec.dtype) for spec in specs] for piece in pieces for sample in piece()]
    return Examples(batches, count, -(-count // batch_size), labels is not None, samples)
