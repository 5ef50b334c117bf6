"""Labelled samples in shards, or from a function, a few at a time: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import DataError
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.iteration import open_passes
from tfmpq.data.named_function import NamedFunction
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.sample_arrays import read_item
from tfmpq.data.shards.fields import LABELS, Decoder
from tfmpq.data.shards.formats import Shards
from tfmpq.data.shards.reading import read_labelled_shard, read_shard

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

_CHUNK = 256  # samples
Pair = tuple[dict[str, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Chunk:
    """Some samples that follow each other.

    Attributes:
        where: they are from, for messages.
        data: samples, with labels or without.
    """

    where: str
    data: Labelled


def shard_chunks(
    shards: Shards, files: Sequence[Path], inputs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Iterator[Chunk]:
    """The samples of some files; with labels, if the first of them has one.

    Args:
        shards: of a format for many samples.
        files: those of them that are read.
        inputs: the model's inputs.
        preprocessing: of images.

    Raises:
        DataError: A file cannot be read, lacks a field, or a sample does not fit the model.
    """
    labelled = _has_labels(shards, files)
    decoder = Decoder(f"'{shards.pattern}'", inputs, preprocessing, labelled=labelled)
    for path in files:
        pairs: Iterator[Pair]
        if labelled:
            pairs = read_labelled_shard(shards, path, inputs, decoder)
        else:
            pairs = ((sample, None) for sample in read_shard(shards, path, inputs, decoder))
        yield from _chunks(f"shard '{path}'", pairs)


def function_chunks(named: NamedFunction, inputs: Sequence[InputSpec]) -> Iterator[Chunk]:
    """What a function gives: :class:`tfmpq.Labelled`, or (inputs, label) pairs of samples or of batches.

    Raises:
        DataError: It gives something else, or a sample does not fit the model.
    """
    function, where = named.load(), f"'{named.where}:{named.name}'"
    found = function()
    if isinstance(found, Labelled):
        yield Chunk(where, found)
        return
    items = open_passes(lambda: found, where, lambda array, what: None)()
    yield from _chunks(where, (pair for n, item in enumerate(items) for pair in _pairs(item, inputs, n, where)))


def _pairs(item: Any, inputs: Sequence[InputSpec], number: int, where: str) -> Iterator[Pair]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"item {number} of {where} is no pair. Yield (inputs, label) for every sample or batch.")
    samples = list(read_item(item[0], inputs, f"item {number} of {where}"))
    labels = np.asarray(item[1])
    labels = labels[None] if len(samples) == 1 and not labels.ndim else labels
    if len(labels) != len(samples):
        raise DataError(f"item {number} of {where} has {len(labels)} labels for {len(samples)} samples.")
    yield from zip(samples, labels, strict=True)


def _has_labels(shards: Shards, files: Sequence[Path]) -> bool:
    for path in files:
        for names, _ in shards.records(path, lambda names: names[:0]):
            return any(name in LABELS for name in names)
    raise DataError(f"'{shards.pattern}' holds no samples.")


def _chunks(where: str, pairs: Iterator[Pair]) -> Iterator[Chunk]:
    start = 0
    while part := list(islice(pairs, _CHUNK)):
        place = f"{where}, samples {start} to {start + len(part) - 1}"
        try:
            inputs = {name: np.concatenate([sample[name] for sample, _ in part]) for name in part[0][0]}
            labels = [label for _, label in part if label is not None]
            yield Chunk(place, Labelled(inputs, np.stack(labels) if labels else None))
        except ValueError as error:  # sizes that the model leaves open
            raise DataError(f"{place} have different sizes: {error}. Give samples and labels of one size.") from error
        start += len(part)
