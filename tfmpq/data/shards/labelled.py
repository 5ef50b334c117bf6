"""Labelled samples in shards, or from a function: nothing but labels and a few neighbours is held."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
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
from tfmpq.data.shards.formats import Shards, find_shards
from tfmpq.data.shards.reading import read_labelled_shard, read_labels, read_shard
from tfmpq.data.shards.stream import Piece, Stream, labelled_stream

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


def labelled_shards(text: str | os.PathLike[str]) -> Shards | None:
    """The shards that a path or a glob names; None: it is a directory, or a file of arrays.

    Raises:
        DataError: No file matches, files of several kinds do, or they are of one sample each.
    """
    shards = find_shards(text)
    if shards is not None and shards.format is None:
        raise DataError(
            f"'{shards.pattern}' matches files of a sample each, which have no labels. Give a directory with a folder "
            "of images for each class, or shards with labels."
        )
    return shards


def read_shards(shards: Shards, inputs: Sequence[InputSpec], preprocessing: Preprocessing | None) -> Labelled:
    """The samples of all files, read as they are needed; with labels, which are held, if the first sample has one.

    Raises:
        DataError: See :func:`shard_chunks`.
    """
    labelled = has_labels(shards, shards.files)
    decoder = Decoder(f"'{shards.pattern}'", inputs, preprocessing, labelled=labelled)
    pieces, labels = [], []
    for path in shards.files:
        found = list(read_labels(shards, path, decoder)) if labelled else []
        labels += found
        # As a pass for labels, this one sees what fields each sample has.
        count = len(found) if labelled else sum(1 for _ in shards.records(path, decoder.choose_label))
        if count:
            pieces.append(Piece(f"shard '{path}'", count, partial(_opened, shards, path, inputs, decoder)))
    return labelled_stream(Stream(pieces), _stacked(labels, f"'{shards.pattern}'") if labelled else None)


def _opened(
    shards: Shards, path: Path, inputs: Sequence[InputSpec], decoder: Decoder, rows: Sequence[int]
) -> Iterator[dict[str, np.ndarray]]:
    return read_shard(shards, path, inputs, decoder, frozenset(rows))


def read_function(named: NamedFunction, inputs: Sequence[InputSpec]) -> Labelled:
    """What a function gives, see :func:`function_chunks`; it is called for every pass.

    Raises:
        DataError: It gives something else, nothing, or a sample does not fit the model.
    """
    where = f"'{named.where}:{named.name}'"
    found = named.call()
    if isinstance(found, Labelled):
        return found
    function = named.load()
    labels = [label for _, label in _function_pairs(lambda: found, where, inputs)]
    if not labels:
        raise DataError(f"{where} gives no samples.")

    def opened(rows: Sequence[int]) -> Iterator[dict[str, np.ndarray]]:
        wanted, last = frozenset(rows), max(rows)
        for number, (sample, _) in enumerate(islice(_function_pairs(function, where, inputs), last + 1)):
            if number in wanted:
                yield sample

    return labelled_stream(Stream([Piece(where, len(labels), opened)]), _stacked(labels, where))


def _stacked(labels: Sequence[np.ndarray], where: str) -> np.ndarray:
    try:
        return np.stack(labels)
    except ValueError as error:
        raise DataError(f"labels of {where} have different sizes: {error}. Give labels of one size.") from error


def shard_chunks(
    shards: Shards, files: Sequence[Path], inputs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Iterator[Chunk]:
    """The samples of some files; all with labels, if the first has one, and all without if it has none.

    Args:
        shards: of a format for many samples.
        files: those of them that are read.
        inputs: the model's inputs.
        preprocessing: of images.

    Raises:
        DataError: A file cannot be read, lacks a field, or a sample does not fit the model; or some have labels and
            others have none.
    """
    labelled = has_labels(shards, files)
    decoder = Decoder(f"'{shards.pattern}'", inputs, preprocessing, labelled=labelled)
    for path in files:
        pairs: Iterable[Pair]
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
    where, found = f"'{named.where}:{named.name}'", named.call()
    if isinstance(found, Labelled):
        yield Chunk(where, found)
        return
    yield from _chunks(where, _function_pairs(lambda: found, where, inputs))


def _function_pairs(
    function: Callable[[], Any], where: str, inputs: Sequence[InputSpec]
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    number = 0
    try:
        for number, item in enumerate(open_passes(function, where, lambda array, what: None)()):
            yield from _pairs(item, inputs, number, where)
    except DataError:
        raise
    except Exception as error:  # of the user's code
        raise DataError(f"{where} raised {type(error).__name__} after item {number}: {error}.") from error


def _pairs(
    item: Any, inputs: Sequence[InputSpec], number: int, where: str
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"item {number} of {where} is no pair. Yield (inputs, label) for every sample or batch.")
    samples = list(read_item(item[0], inputs, f"item {number} of {where}"))
    labels = np.asarray(item[1])
    labels = labels[None] if len(samples) == 1 and not labels.ndim else labels
    if not labels.ndim or len(labels) != len(samples):
        found = f"{len(labels)} labels" if labels.ndim else "a single label, no array of them,"
        raise DataError(
            f"item {number} of {where} has {found} for {len(samples)} samples. Yield a label for each "
            "sample of a batch."
        )
    yield from zip(samples, labels, strict=True)


def has_labels(shards: Shards, files: Sequence[Path]) -> bool:
    """Whether the first sample of some files has a label.

    Raises:
        DataError: They hold no samples, or the first cannot be read.
    """
    for path in files:
        for names, _ in shards.records(path, lambda names: names[:0]):
            return any(name in LABELS for name in names)
    raise DataError(f"'{shards.pattern}' holds no samples.")


def _chunks(where: str, pairs: Iterable[Pair]) -> Iterator[Chunk]:
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
