"""Sums over a part of the samples, in a file of their own; parts that belong together are added, in their order.

A file is an .npz of plain arrays: a header in JSON, and of every layer what its sums are. The same samples in the same
parts give the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import DataError
from converters.layers.layer import Layer
from converters.tflite.graph import Model
from converters.tflite.probe import probe
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.data.shards.parts import Part, in_order
from tfmpq.files import read_npz, replaced
from tfmpq.measure.evidence import apart, measure_inputs, measured_by
from tfmpq.measure.halves import half_of, is_symmetric, whole_of
from tfmpq.measure.input_sums import Moments, finish, sums_of
from tfmpq.measure.lookups import lookup_statistics
from tfmpq.measure.moments import Samples
from tfmpq.progress import Progress
from tfmpq.stages import Found, Measured, Network
from tfmpq.text import plural

FORMAT = "tfmpq/partial-statistics/2"
MANY = 1 << 40  # samples, when nobody knows how many: as many positions of each are taken as of each of very many
_MUCH_BEYOND = 0.01  # ranges that are chosen clip a thousandth or so on purpose
_HEADER = "header"


@dataclass(frozen=True)
class Header:
    """What a part is of.

    Attributes:
        format: of the file.
        network: digest of the network that samples were run through, and of the seed.
        files: digest of the names and sizes of all files of samples.
        part, parts: which of how many parts, from 1.
        samples: in this part.
        layers: their names.
    """

    format: str
    network: str
    files: str
    part: int
    parts: int
    samples: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """What all parts say together.

    Attributes:
        statistics: of every layer.
        samples: of all parts.
        parts: how many there were.
        beyond: of every layer, share of the values that lie beyond the range of int8.
    """

    statistics: Mapping[str, LayerStatistics]
    samples: int
    parts: int
    beyond: Mapping[str, float]


def measure_or_merge(
    found: Sequence[Found],
    network: Network,
    samples: Samples,
    count: int,
    statistics: Sequence[str | os.PathLike[str]] | None,
    *,
    seed: int,
    progress: Progress,
) -> tuple[list[Measured], list[str]]:
    """The layers with the moments of all parts, or those of the samples, and what there is to say of it.

    Args:
        found: all layers.
        network: they are in.
        samples: representative data.
        count: how many there are.
        statistics: files of all parts; None: the samples are measured.
        seed: of the choice of positions.
        progress: shown or not.

    Raises:
        DataError: See :func:`merge_partial` and :func:`measure_inputs`.
    """
    if statistics is None:
        return measure_inputs(found, network, samples, count, seed=seed, progress=progress), []
    layers = [layer.layer for layer in found]
    merged = merge_partial(statistics, network_digest(network.model, layers, seed), network.model, layers)
    note = (
        f"moments of inputs are those of {plural(merged.samples, 'sample')} in {plural(merged.parts, 'part')} that "
        "tfmpq collect has read; all else is measured on the representative data"
    )
    return measured_by(found, merged.statistics), [note, *_beyond_notes(merged.beyond)]


def _beyond_notes(beyond: Mapping[str, float]) -> list[str]:
    """What to say where the representative data have found ranges that many samples exceed."""
    much = {name: share for name, share in beyond.items() if share > _MUCH_BEYOND}
    if not much:
        return []
    worst = max(much, key=lambda name: much[name])
    others = f", and of {plural(len(much) - 1, 'further layer')} too much" if len(much) > 1 else ""
    return [
        f"of what layer '{worst}' reads in the shards, {much[worst]:.1%} lies beyond the range that the representative "
        f"data gave{others}: int8 clips it. Give representative data that are as varied as the shards"
    ]


def network_digest(model: Model, layers: Sequence[Layer], seed: int) -> str:
    """What sums depend on beside the samples: the network, how its layers read, and which positions are taken."""
    found = hashlib.sha256(probe(model, model.graph.outputs))
    for layer in layers:
        scales = [None if layer.reads_float or layer.kind.table else float(u.int8_input.scale) for u in layer.uses]
        found.update(repr((layer.name, layer.kind.name, layer.groups, layer.columns, layer.channels, scales)).encode())
    found.update(f"seed {seed}".encode())
    return found.hexdigest()


def write_partial(
    path: str | os.PathLike[str],
    header: Header,
    sums: Mapping[str, Sequence[Moments]],
    lookups: Mapping[str, np.ndarray],
) -> None:
    """Writes a part in full or not at all.

    Args:
        path: of the file.
        header: what it is.
        sums: of layers that multiply, of each of their uses.
        lookups: of tables, how often each row was looked up.

    Raises:
        OSError: It cannot be written.
    """
    text = json.dumps(asdict(header), sort_keys=True).encode()
    arrays = {_HEADER: np.frombuffer(text, np.uint8)}
    for number, name in enumerate(header.layers):
        if name in lookups:
            arrays[f"{number}/lookups"] = lookups[name]
            continue
        for use, moments in enumerate(sums[name]):
            arrays |= {f"{number}/{use}/{key}": _kept(array) for key, array in moments.state().items()}
    with replaced(Path(os.path.realpath(path))) as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType] (names are no parameters)


def read_header(path: str | os.PathLike[str]) -> Header:
    """What a file is a part of.

    Raises:
        DataError: It is none.
    """
    found = _arrays(path, _HEADER)
    try:
        if "" not in found:
            raise ValueError("it has no header")
        plain = json.loads(found[""].tobytes())
        if plain["format"] != FORMAT:
            raise ValueError(f"its format is {plain['format']!r}, and {FORMAT!r} is read")
        known: dict[str, Any] = {f.name: plain[f.name] for f in fields(Header)}
        if not all(type(known[name]) is int for name in ("part", "parts", "samples")):
            raise ValueError("its numbers are none")
        return Header(**{**known, "layers": tuple(map(str, known["layers"]))})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{path}' holds no sums by tfmpq collect: {error}. Collect that part again.") from error


def merge_partial(
    paths: Sequence[str | os.PathLike[str]], network: str, model: Model, layers: Sequence[Layer]
) -> Merged:
    """Adds all parts, in their order whatever that of the paths is, and says what they give.

    Args:
        paths: files of all parts.
        network: digest of the network that they must be of.
        model: that network.
        layers: its layers.

    Raises:
        DataError: A file is damaged, is none, or belongs to another network, seed or set of files; a part is missing or
            there twice.
    """
    ordered = check_complete(paths)
    for path, header in ordered:
        if header.network != network:
            raise DataError(
                f"'{path}' was collected for another network: another model, calibration data, options or seed, or by "
                "another version. Collect with what you convert with."
            )
    headers = [header for _, header in ordered]
    plain, tables = apart(layers)
    number = {name: i for i, name in enumerate(headers[0].layers)}
    statistics: dict[str, LayerStatistics] = {}
    beyond: dict[str, float] = {}
    for layer in plain:
        sums = sums_of(model, [layer], MANY)[layer.name]
        for path, _ in ordered:
            for use, moments in enumerate(sums):
                with _explained(path):
                    moments.add_state(_read(path, f"{number[layer.name]}/{use}/"))
        statistics[layer.name] = finish(sums)
        beyond[layer.name] = max(moments.share_beyond() for moments in sums)
    for table in tables:
        counts = [_read(path, f"{number[table.name]}/lookups")[""] for path, _ in ordered]
        statistics[table.name] = lookup_statistics(table, np.sum(counts, axis=0))
    return Merged(statistics, sum(header.samples for header in headers), len(headers), beyond)


def check_complete(paths: Sequence[str | os.PathLike[str]]) -> list[tuple[str | os.PathLike[str], Header]]:
    """The parts in their order, once it is known that they are all of one collection.

    Raises:
        DataError: See :func:`merge_partial`.
    """
    headers = {os.fspath(path): read_header(path) for path in paths}
    parts = [Part(path, h.part, h.parts, h.network + h.files) for path, h in headers.items()]
    ordered = [(part.path, headers[os.fspath(part.path)]) for part in in_order(parts, "the statistics")]
    if not sum(header.samples for _, header in ordered):
        raise DataError(f"the parts beside '{ordered[0][0]}' hold no samples at all. Check the shards.")
    return ordered


def _kept(array: np.ndarray) -> np.ndarray:
    return half_of(array) if is_symmetric(array) else array


def _read(path: str | os.PathLike[str], start: str) -> dict[str, np.ndarray]:
    return {
        name: whole_of(array) if name.endswith("square") and array.ndim == 2 else array
        for name, array in _arrays(path, start).items()
    }


def _arrays(path: str | os.PathLike[str], start: str) -> dict[str, np.ndarray]:
    what = "damaged, or no file by tfmpq collect"
    return read_npz(path, start=start, what=what, fix="Collect that part again.")


@contextlib.contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError) as error:
        raise DataError(f"'{path}' holds sums that do not fit: {error}. Collect that part again.") from error
