"""Moments of more samples than one job reads: in parts that jobs of a sweep collect, or that are there already."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from converters.errors import DataError
from tfmpq.cache.digest import digest_of
from tfmpq.cache.key import FREE
from tfmpq.data.shards.formats import matching
from tfmpq.data.shards.parts import check_parts
from tfmpq.options import OF_A_FILE
from tfmpq.storage import fetched, is_url, place
from tfmpq.sweep.identity import content_digest, data_digest
from tfmpq.sweep.inputs import copy_of, missing
from tfmpq.sweep.schema_check import Place, Problem

COLLECT = "collect"
FOLDER = "statistics"  # in the output folder
_WHAT = "parts by tfmpq collect"
_LATE = {*OF_A_FILE, *FREE}  # options that change nothing of what is collected
_NOT_READ = ("labelled", "classes", "statistics")  # by what collects

Plain = dict[str, Any]


def collection_problems(model: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    """What is wrong with the keys ``shards``, ``parts`` and ``statistics`` of a model.

    Args:
        model: the fields of :class:`tfmpq.sweep.spec.Model`.
        place: of the model in the spec.
    """
    where, shards, statistics = ".".join(map(str, place)), model["shards"], model["statistics"]
    if shards is None and model["parts"] > 1:
        why = "says by how many jobs shards are shared, but there are no shards: leave it out, or give shards too"
        yield Problem((*place, "parts"), f"{where}.parts {why}")
    if shards is not None and statistics is not None:
        yield Problem((*place, "statistics"), f"{where} has shards and statistics: give one of them")
        return
    for key in ("shards", "statistics"):
        if model[key] is not None and is_url(model[key]):
            yield from _object_problems(model, key, place)
            return
    try:
        if shards is not None:
            check_parts(shards, (1, model["parts"]))
    except DataError as error:
        key = "parts" if "cannot be shared" in str(error) else "shards"
        yield Problem((*place, key), f"{where}.{key}: {error}")
    try:
        if statistics is not None:
            _check_statistics(statistics)
    except DataError as error:
        yield Problem((*place, "statistics"), f"{where}.statistics: {error}")


def _object_problems(model: Mapping[str, Any], key: str, where: Place) -> Iterator[Problem]:
    """Of a URL, which names one object."""
    name = ".".join(map(str, (*where, key)))
    if (why := missing(model[key])) is not None:
        yield Problem((*where, key), f"{name}: {why}")
    elif model["parts"] > 1:
        text = f"{name}: '{model[key]}' is one object, which {model['parts']} parts cannot share: leave parts out"
        yield Problem((*where, "parts"), text)
    elif key == "statistics":
        try:
            _check_object(model[key])
        except (DataError, OSError) as error:
            yield Problem((*where, key), f"{name}: {error}")


def collection_identity(model: Mapping[str, Any]) -> Plain:
    """What of these keys a model's rows depend on.

    Raises:
        DataError: A file cannot be read.
    """
    shards, statistics = model["shards"], model["statistics"]
    return {
        "shards": None if shards is None else data_digest(shards),
        "parts": model["parts"],
        "statistics": None if statistics is None else [content_digest(path) for path in matching(statistics, _WHAT)],
    }


def collection(spec: Mapping[str, Any], identity: Mapping[str, Any], further: Sequence[Any]) -> list[Plain]:
    """The jobs that collect for a model and its options; variants that differ only in what a file is share them.

    Args:
        spec: what all jobs of the model and variant have in common.
        identity: of the model.
        further: what else tells options apart.
    """
    model, parts = spec["model"], spec["model"]["parts"]
    if model["shards"] is None:
        return []
    early = {name: value for name, value in spec["options"].items() if name not in _LATE}
    key = digest_of(COLLECT, {n: v for n, v in identity.items() if n not in _NOT_READ}, early, further)
    width = len(str(parts))
    return [
        {
            "kind": COLLECT,
            "key": f"{key} {number}/{parts}",
            **spec,
            "part": [number, parts],
            "file": f"{FOLDER}/{model['name']}/{key[:16]}/part-{number:0{width}}.npz",
        }
        for number in range(1, parts + 1)
    ]


def statistics_of(spec: Mapping[str, Any]) -> list[str] | None:
    """The files whose sums a job adds; None: it measures its samples.

    Raises:
        DataError: No file matches.
    """
    if spec["collected"]:
        return [copy_of(str(place(spec["output"]) / file)) for file in spec["collected"]]
    statistics = spec["model"]["statistics"]
    return None if statistics is None else matching(statistics, _WHAT)


def is_collected(spec: Mapping[str, Any]) -> bool:
    """Whether the part of a job is there, from a former run say: it is written in full or not at all."""
    from tfmpq.measure.partial import read_header  # loads the file schema, as of the rest of jobs

    with contextlib.suppress(DataError, FileNotFoundError), fetched(place(spec["output"]) / spec["file"]) as path:
        header = read_header(path)
        return [header.part, header.parts] == spec["part"]
    return False


def _check_object(url: str) -> None:
    path = copy_of(url)
    try:
        _check_statistics(glob.escape(path))
    except DataError as error:
        raise DataError(str(error).replace(path, url)) from error


def _check_statistics(pattern: str) -> None:
    from tfmpq.measure.partial import check_complete

    check_complete(matching(pattern, _WHAT))
