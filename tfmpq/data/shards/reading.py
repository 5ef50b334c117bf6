"""Passes over the samples of shards: nothing but one record, or one array file, is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import DataError
from tfmpq.data.images import check_images
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.sample_arrays import read_item
from tfmpq.data.shards.fields import Decoder, is_image, usual_fields
from tfmpq.data.shards.formats import Shards

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

Sample = dict[str, np.ndarray]


def open_shards(
    shards: Shards,
    inputs: Sequence[InputSpec],
    *,
    preprocessing: Preprocessing | None = None,
    rows: Mapping[Path, frozenset[int]] | None = None,
) -> Callable[[], Iterator[Sample]]:
    """What starts a pass over the samples, as :func:`tfmpq.data.calibration_files.open_calibration` wants it.

    Args:
        shards: of a format for many samples.
        inputs: the model's inputs.
        preprocessing: for images.
        rows: of every file, the records that are taken; None: all.

    Raises:
        DataError: In a pass: a file cannot be read, lacks a field, or a sample does not fit the model.
        MissingDependencyError: In a pass: a package that reads the files.
        OptionError: In a pass: images without ``preprocessing``.
    """
    decoder = Decoder(f"'{shards.pattern}'", inputs, preprocessing)

    def samples() -> Iterator[Sample]:
        for path in shards.files:
            yield from read_shard(shards, path, inputs, decoder, None if rows is None else rows[path])

    return samples


def read_shard(
    shards: Shards, path: Path, inputs: Sequence[InputSpec], decoder: Decoder, rows: frozenset[int] | None = None
) -> Iterator[Sample]:
    """The samples of one file; see :func:`open_shards`."""
    last = None if rows is None else max(rows, default=-1)
    if last == -1:
        return
    for number, (names, record) in enumerate(shards.records(path, decoder.choose)):
        if rows is None or number in rows:
            yield _one(decoder.inputs(record, names, _where(path, number)), inputs, _where(path, number))
        if number == last:
            return


def read_labelled_shard(
    shards: Shards, path: Path, inputs: Sequence[InputSpec], decoder: Decoder
) -> Iterator[tuple[Sample, np.ndarray]]:
    """The samples of one file with their labels."""
    for number, (names, record) in enumerate(shards.records(path, decoder.choose)):
        where = _where(path, number)
        yield _one(decoder.inputs(record, names, where), inputs, where), decoder.label(record, names, where)


def read_labels(shards: Shards, path: Path, decoder: Decoder) -> Iterator[np.ndarray]:
    """The labels of one file, whose samples are not decoded."""
    for number, (names, record) in enumerate(shards.records(path, decoder.choose_label)):
        yield decoder.label(record, names, _where(path, number))


def check_first(shards: Shards, preprocessing: Preprocessing | None) -> None:
    """Reads a record, so that what is wrong with all of them is found before a model is loaded.

    Raises:
        DataError: There is none, or the first file cannot be read.
        MissingDependencyError: A package that reads the files, or the images in them.
        OptionError: It holds an image, and ``preprocessing`` is None.
    """
    for path in shards.files:
        for _, record in shards.records(path, usual_fields):
            if any(is_image(value) for value in record.values()):
                check_images(f"'{shards.pattern}'", preprocessing)
            return
    raise DataError(f"'{shards.pattern}' holds no samples.")


def _one(item: Sample, inputs: Sequence[InputSpec], where: str) -> Sample:
    found = list(read_item(item, inputs, where))
    if len(found) != 1:
        raise DataError(f"{where} holds {len(found)} samples in one record. Write a record a sample.")
    return found[0]


def _where(path: Path, number: int) -> str:
    return f"sample {number} of '{path}'"
