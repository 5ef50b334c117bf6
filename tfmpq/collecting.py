"""`tfmpq.collect`: the moments of a part of many samples, for `statistics=` of a conversion."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import OptionError
from converters.frontend.float_model import FloatModel
from tfmpq.clock import Clock
from tfmpq.data.calibration_files import open_files
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.shards.fields import Decoder
from tfmpq.data.shards.formats import Shards
from tfmpq.data.shards.parts import check_parts
from tfmpq.data.shards.reading import read_shard
from tfmpq.given import read_given
from tfmpq.measure.partial import Header, write_partial
from tfmpq.measure.shard_sums import Files, sum_files
from tfmpq.options import OF_A_FILE, Options, takes_options
from tfmpq.pipeline import begin
from tfmpq.progress import Progress
from tfmpq.text import plural

_CENTRE = 32  # samples whose means are near enough to those of all
_OPTIONS = [f.name for f in fields(Options) if f.name not in (*OF_A_FILE, "cache", "statistics")]


@takes_options(*_OPTIONS)
def collect(
    model: object,
    rep_dataset: object,
    shards: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    part: tuple[int, int] = (1, 1),
    preprocessing: Preprocessing | None = None,
    **options: Any,
) -> Header:
    """Sums of what every layer reads over a part of many samples, in a file.

    ``tfmpq.convert(..., statistics=[...])`` with the files of all parts then has the moments of all these samples in
    place of those of ``rep_dataset``. Parts may be collected anywhere and in any order; memory depends on the network
    and not on the number of samples. The same part of the same files gives the same bytes on the same machine.

    Args:
        model, rep_dataset: as for :func:`tfmpq.convert`, and the same: they decide on the network whose inputs are
            summed, and about which point.
        shards: a glob of files of samples, see :mod:`tfmpq.data.shards`. ``rep_dataset`` should not be among them, as
            every eighth of its samples measures the result.
        output: file to write.
        part: ``(k, n)``: every n-th file, from the k-th on.
        preprocessing: of images in ``shards``.
        **options: those of :func:`tfmpq.convert` that act before a file is written, and the same.

    Returns:
        What the part is of.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    chosen = Options.of(options, _OPTIONS)
    found = check_parts(shards, part)
    with Clock(shown=chosen.progress) as clock:
        given = read_given(model, rep_dataset, chosen, clock)
        begun = begin(given, chosen, clock)
    if begun.loops:
        raise OptionError(
            f"{given.float_model.source} runs {plural(len(begun.loops), 'loop')} (recurrent layers, say), whose layers "
            "read states of their own steps: shards do not hold them, and steps are chosen from all samples, so "
            "parts would not add up. Convert it without statistics, on a few hundred samples."
        )
    layers = [layer.layer for layer in begun.found]
    read = _reader(found, given.float_model, preprocessing)
    centre = list(islice(given.data.fit(), _CENTRE))
    progress = Progress(chosen.progress)
    network = begun.start.network.model
    sums = sum_files(network, layers, Files(found.files, read, part), centre, seed=chosen.seed, progress=progress)
    write_partial(output, sums.header, sums.moments, sums.lookups)
    return sums.header


def _reader(
    shards: Shards, model: FloatModel, preprocessing: Preprocessing | None
) -> Callable[[Path], Iterator[dict[str, np.ndarray]]]:
    """What reads one file."""
    inputs = model.inputs
    if shards.format is None:
        return lambda path: open_files(f"'{shards.pattern}'", [path], inputs, preprocessing)()
    decoder = Decoder(f"'{shards.pattern}'", inputs, preprocessing)
    return lambda path: read_shard(shards, path, inputs, decoder)
