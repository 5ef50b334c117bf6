"""Evaluation of any number of samples: chunk by chunk, a part at a time, in files of counts that are added."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.errors import DataError
from converters.frontend.unknown_file import open_file
from converters.plain_json import parse
from converters.runtime.interpreter import Kernels
from converters.small_file import read_file
from tfmpq.analysis.divergence import DivergenceSums
from tfmpq.analysis.evaluation import Model, entry, judged_chunk
from tfmpq.analysis.evaluation_sums import EvaluationSums, Hits, added
from tfmpq.data.evaluation_set import check_labelled
from tfmpq.data.shards.labelled import Chunk
from tfmpq.data.shards.parts import Part, in_order
from tfmpq.files import write_atomic

FORMAT = "tfmpq/evaluation-sums/1"


@dataclass(frozen=True)
class Counted:
    """What one part has counted.

    Attributes:
        of: digest of the files that were run, how, and of the names and sizes of all files of samples.
        runtime, kernels: that they were run with.
        part, parts: which of how many, from 1.
        sums: over its samples; None: it has none.
    """

    of: str
    runtime: str
    kernels: str
    part: int
    parts: int
    sums: EvaluationSums | None


def count(
    model: Model,
    chunks: Iterable[Chunk],
    *,
    against: Model | None = None,
    kernels: Kernels = "xnnpack",
    threads: int = 1,
    signature: str | None = None,
) -> EvaluationSums | None:
    """Runs a file, and a second one, on samples that come a few at a time; None: there are none.

    Args:
        model, against, kernels, threads, signature: as of :func:`tfmpq.evaluate`.
        chunks: the samples.

    Raises:
        DataError: The data do not fit the model, or have no labels and there is no second file.
        FileFormatError: A file cannot be read or run.
    """
    files = [None if file is None else entry(file, signature) for file in (model, against)]
    first, second = (None if f is None else open_file(f, kernels=kernels, threads=threads) for f in files)

    def counted(chunk: Chunk) -> EvaluationSums:
        try:
            data = check_labelled(chunk.data)
            if data.labels is None and second is None:
                raise DataError("there are neither labels nor a second file to compare with: give at least one of them")
            ours, theirs, comparison = judged_chunk(first, second, data)
        except DataError as error:
            raise DataError(f"{chunk.where}: {error}") from error
        return EvaluationSums.of(data.count, ours, None if second is None else theirs, comparison)

    total: EvaluationSums | None = None
    for chunk in chunks:
        try:
            total = counted(chunk) if total is None else added((total, counted(chunk)))
        except ValueError as error:
            raise DataError(f"{chunk.where}: {error}.") from error
    return total


def digest_of_run(files: Sequence[str | os.PathLike[str] | None], *options: object) -> str:
    """Of the content of files, and of how they are run."""
    found = hashlib.sha256(repr(options).encode())
    for path in files:
        found.update(b"none" if path is None else hashlib.sha256(Path(path).read_bytes()).digest())
    return found.hexdigest()


def write_counted(path: str | os.PathLike[str], counted: Counted) -> None:
    """Writes a part, as JSON.

    Raises:
        OSError: It cannot be written.
    """
    write_atomic(path, json.dumps({"format": FORMAT, **asdict(counted)}, indent=1, sort_keys=True).encode())


def merge_counted(paths: Sequence[str | os.PathLike[str]], of: str | None = None) -> Counted:
    """The sums of all parts, added in their order whatever that of the paths is.

    Args:
        paths: of files by :func:`write_counted`.
        of: digest of the run that they must be of, without that of the samples; None: any.

    Raises:
        DataError: A file is none, they do not belong together, or one is missing.
    """
    found = {os.fspath(path): _read(path) for path in paths}
    what = "the counts"
    parts = in_order([Part(p, c.part, c.parts, f"{c.of} {c.runtime} {c.kernels}") for p, c in found.items()], what)
    first = found[os.fspath(parts[0].path)]
    if of is not None and first.of.partition(" ")[0] != of:
        raise DataError(f"'{parts[0].path}' was counted of another file, or run otherwise. Count with what you merge.")
    sums = [counted for part in parts if (counted := found[os.fspath(part.path)].sums) is not None]
    if not sums:
        raise DataError(f"the parts beside '{parts[0].path}' hold no samples at all. Check the shards.")
    try:
        return Counted(first.of, first.runtime, first.kernels, 1, 1, added(sums))
    except ValueError as error:
        raise DataError(f"the parts beside '{parts[0].path}' do not fit: {error}. Count again.") from error


def _read(path: str | os.PathLike[str]) -> Counted:
    try:
        plain: dict[str, Any] = parse(read_file(path).decode("utf-8"))
        if plain.pop("format") != FORMAT or not all(type(plain[name]) is int for name in ("part", "parts")):
            raise ValueError(f"{FORMAT!r} is read")
        sums = plain.pop("sums")
        if sums is not None:
            made: dict[str, Any] = {name: Hits(**sums[name]) for name in ("ours", "theirs")}
            made |= {name: tuple(map(float, sums[name])) for name in ("signal", "noise")}
            sums = EvaluationSums(**{**sums, **made, "divergence": DivergenceSums(**sums["divergence"])})
        return Counted(**plain, sums=sums)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"'{path}' holds no counts by tfmpq evaluate: {error}. Count that part again.") from error
