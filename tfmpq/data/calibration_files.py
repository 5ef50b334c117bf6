"""Calibration data by name: files of arrays, directories and globs of arrays or images, shards, functions.

Files are read one at a time on every pass, so memory does not grow with their number (an .npz is held as a whole).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import DataError
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.images import IMAGE_SUFFIXES, image_reader
from tfmpq.data.iteration import open_passes
from tfmpq.data.named_function import NamedFunction, function_name
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.sample_arrays import describe, read_item
from tfmpq.data.shards.formats import Shards, find_shards
from tfmpq.data.shards.reading import open_shards
from tfmpq.files import read_npy, read_npz

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

Samples = Callable[[], Iterator[dict[str, np.ndarray]]]

ARRAY_SUFFIXES = (".npy", ".npz")


def open_calibration(
    path: str | os.PathLike[str],
    inputs: Sequence[InputSpec],
    *,
    preprocessing: Preprocessing | None = None,
    max_samples: int | None = None,
) -> Samples:
    """Finds the samples at ``path``; what it returns starts a pass over them, as ``rep_dataset`` wants it.

    Args:
        path: an .npz file (one array, samples first, for each input under its name; one array of any name is enough for
            a single input, and labels ``y`` are ignored), an .npy file (one array, samples first), or a directory,
            searched with its subdirectories: of .npy files (one sample or batch each; .npz files for several inputs)
            or of images, which are resized to the model's input. A glob such as ``shards/*.npz``, of such files or of
            shards (:mod:`tfmpq.data.shards`). ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``, which is called
            for every pass and gives what ``rep_dataset`` may be, or :class:`tfmpq.Labelled`, whose labels are dropped.
        inputs: the model's inputs.
        preprocessing: for images: there is no default, since wrong pixel ranges ruin a conversion silently.
        max_samples: take no more than this many (files of a directory or a glob of .npy and images), evenly spaced;
            None: all. Of shards and functions another pass counts them.

    Raises:
        DataError: Nothing usable is there.
        MissingDependencyError: A package that reads the files is missing: Pillow for images, pyarrow for Parquet.
        OptionError: Images without ``preprocessing``.
    """
    named = function_name(os.fspath(path))
    if named is not None:
        return _open_function(named, os.fspath(path), inputs, max_samples)
    shards = find_shards(path)
    if shards is not None and shards.format is not None:
        rows = None if max_samples is None else _spaced_rows(shards, max_samples)
        return open_shards(shards, inputs, preprocessing=preprocessing, rows=rows)
    path = Path(path)
    if shards is not None:
        files = [shards.files[i] for i in spaced(len(shards.files), max_samples)]
        return open_files(f"'{path}'", files, inputs, preprocessing)
    if path.is_dir():
        return open_files(f"directory '{path}'", choose_files(path, max_samples), inputs, preprocessing)
    read = _read_array(path)
    arrays = read if isinstance(read, dict) else {path.stem: read}
    return _open_arrays(path, _by_input(path, arrays, inputs), inputs, max_samples)


def spaced(count: int, max_samples: int | None) -> list[int]:
    """At most ``max_samples`` of the numbers below ``count``, evenly spaced: a sorted listing starts with one class."""
    if max_samples is None or count <= max_samples:
        return list(range(count))
    return [i * count // max_samples for i in range(max_samples)]


def _by_input(path: Path, arrays: dict[str, np.ndarray], inputs: Sequence[InputSpec]) -> dict[str, np.ndarray]:
    names = {name for spec in inputs for name in (spec.name, *spec.aliases)}
    found = {name: array for name, array in arrays.items() if name in names or name != "y"}
    if len(inputs) == len(found) == 1:
        found = {inputs[0].name: next(iter(found.values()))}
    if not found or not set(found) <= names:
        raise DataError(
            f"'{path}' holds the arrays {sorted(arrays)}, but the model's inputs are {describe(inputs)}: save one "
            "array for each input under its name (any name will do for a single input)"
        )
    counts = {name: len(array) if array.ndim else 0 for name, array in found.items()}
    if len(set(counts.values())) > 1 or not min(counts.values()):
        raise DataError(f"'{path}': its arrays hold {counts} samples, but each must hold the same number, not 0")
    return found


def _open_arrays(
    path: Path, arrays: dict[str, np.ndarray], inputs: Sequence[InputSpec], max_samples: int | None
) -> Samples:
    rows = spaced(len(next(iter(arrays.values()))), max_samples)

    def samples() -> Iterator[dict[str, np.ndarray]]:
        for row in rows:
            item = {name: array[row] for name, array in arrays.items()}
            yield from read_item(item, inputs, f"sample {row} of '{path}'")

    return samples


def open_files(
    what: str, files: Sequence[Path], inputs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Samples:
    """Files of one sample or batch each, of arrays or of images; see :func:`open_calibration`."""
    is_array = files[0].suffix.lower() in ARRAY_SUFFIXES
    read = _read_array if is_array else image_reader(what, inputs, preprocessing)

    def samples() -> Iterator[dict[str, np.ndarray]]:
        for file in files:
            yield from read_item(read(file), inputs, f"'{file}'")

    return samples


def _spaced_rows(shards: Shards, max_samples: int) -> dict[Path, frozenset[int]]:
    """Of every file the records that are taken."""
    counts = [shards.count(path) for path in shards.files]
    starts = np.cumsum([0, *counts])
    chosen = np.array(spaced(sum(counts), max_samples), np.int64)
    ends = np.searchsorted(chosen, starts)
    return {
        path: frozenset((chosen[ends[i] : ends[i + 1]] - starts[i]).tolist()) for i, path in enumerate(shards.files)
    }


def _open_function(named: NamedFunction, text: str, inputs: Sequence[InputSpec], max_samples: int | None) -> Samples:
    function = named.load()

    def given() -> object:
        found = function()
        return found.inputs if isinstance(found, Labelled) else found

    def everything() -> Iterator[dict[str, np.ndarray]]:
        for number, item in enumerate(open_passes(given, f"'{text}'", lambda array, what: None)()):
            yield from read_item(item, inputs, f"sample {number} of '{text}'")

    if max_samples is None:
        return everything
    chosen = frozenset(spaced(sum(1 for _ in everything()), max_samples))
    return lambda: (sample for number, sample in enumerate(everything()) if number in chosen)


def choose_files(path: Path, max_samples: int | None) -> list[Path]:
    """The files of a directory that are read: arrays, or images.

    Raises:
        DataError: There are none, or both.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    arrays = [p for p in files if p.suffix.lower() in ARRAY_SUFFIXES]
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    if bool(arrays) == bool(images):
        what = "both arrays and images" if arrays else "neither arrays nor images"
        raise DataError(
            f"directory '{path}' holds {what}: give one of .npy files, or one of images ({', '.join(IMAGE_SUFFIXES)})"
        )
    return [(arrays or images)[i] for i in spaced(len(arrays or images), max_samples)]


def _read_array(file: Path) -> np.ndarray | dict[str, np.ndarray]:
    return read_npz(file) if file.suffix.lower() == ".npz" else read_npy(file)
