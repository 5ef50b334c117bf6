"""A pass over some of many files of samples, for sums that do not depend on how files are grouped.

Every sample has its own random numbers, by the number of its file among all files and its place in it, and sums are
taken about a point that the network's own calibration data give. So sums of parts add up to those of one pass but for
the rounding of float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.layers.layer import Layer
from converters.reference.position_gradients import Relevance, has_positions
from converters.tflite.graph import Model
from tfmpq.data.shards.parts import files_digest, files_of_part
from tfmpq.measure.evidence import apart, counting_positions
from tfmpq.measure.input_sums import Moments
from tfmpq.measure.lookups import count_lookups
from tfmpq.measure.moments import Gathering, passes
from tfmpq.measure.partial import FORMAT, MANY, Header, network_digest
from tfmpq.threads import serial_blas

Sample = Mapping[str, np.ndarray]
_CHUNK, _CHUNK_BYTES = 1024, 1 << 26  # samples that are held at a time where it is found out which positions count


@dataclass(frozen=True)
class Files:
    """Files of samples, all of them, and which of them are to be read.

    Attributes:
        paths: in the order that numbers them.
        read: the samples of one file.
        part: which of how many parts is read, see :func:`tfmpq.data.shards.parts.files_of_part`.
    """

    paths: Sequence[Path]
    read: Callable[[Path], Iterator[Sample]]
    part: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class Sums:
    """What a pass has found.

    Attributes:
        header: what it is of.
        moments: of layers that multiply, for each use.
        lookups: of tables, how often each row was looked up.
    """

    header: Header
    moments: Mapping[str, Sequence[Moments]]
    lookups: Mapping[str, np.ndarray]


def sum_files(
    model: Model,
    layers: Sequence[Layer],
    files: Files,
    centre: Sequence[Sample],
    *,
    seed: int,
    progress: Callable[[Iterable, int, str], Iterable] = lambda items, total, what: items,
) -> Sums:
    """Sums over the samples of a part.

    Args:
        model: the float model.
        layers: found in it.
        files: of samples.
        centre: samples about whose means sums are taken; the same for all parts.
        seed: of the choice of positions.
        progress: wraps the iteration over files.

    Raises:
        DataError: A file cannot be read, or a sample does not fit.
    """
    plain, tables = apart(layers)
    moments: dict[str, Sequence[Moments]] = {}
    lookups: dict[str, np.ndarray] = {table.name: np.zeros(table.channels, np.int64) for table in tables}
    chosen, samples = files_of_part(files.paths, files.part), 0
    masked = any(map(has_positions, layers))
    groups = passes(plain, model.graph)
    for number, group in enumerate(groups):
        gathering = Gathering(model, group, MANY)
        samples = 0
        with serial_blas():
            gathering.centre(centre, np.random.default_rng(seed))
            label = "statistics" if len(groups) == 1 else f"statistics {number + 1}/{len(groups)}"
            for file, row, chunk in _chunks(progress(chosen, len(chosen), label), files.read, layers):
                relevance: Relevance = {}
                if masked:
                    relevance = counting_positions(model, layers, lambda: iter(chunk), seed=seed)  # noqa: B023 (at once)
                for place, feeds in enumerate(chunk):
                    rng = np.random.default_rng((seed, file, row + place))
                    gathering.add(feeds, rng, {name: masks[place] for name, masks in relevance.items()})
                samples += len(chunk)
                if number == 0 and tables:
                    for name, counts in count_lookups(model, tables, lambda: iter(chunk), relevance).items():  # noqa: B023
                        lookups[name] += counts
        moments |= gathering.sums
    header = Header(
        FORMAT,
        network_digest(model, layers, seed),
        files_digest(files.paths),
        *files.part,
        samples,
        tuple(layer.name for layer in layers),
    )
    return Sums(header, moments, lookups)


def _chunks(
    files: Iterable[tuple[int, Path]], read: Callable[[Path], Iterator[Sample]], layers: Sequence[Layer]
) -> Iterator[tuple[int, int, list[dict[str, np.ndarray]]]]:
    """Number of the file, place of the first sample in it, and some samples that follow each other."""
    most = _CHUNK if any(layer.kind.table or has_positions(layer) for layer in layers) else 1
    for number, path in files:
        chunk: list[dict[str, np.ndarray]] = []
        row = held = 0
        for sample in read(path):
            chunk.append(dict(sample))
            held += sum(array.nbytes for array in sample.values())
            if len(chunk) == most or held >= _CHUNK_BYTES:
                yield number, row, chunk
                row, held, chunk = row + len(chunk), 0, []
        if chunk:
            yield number, row, chunk
