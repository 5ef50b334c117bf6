"""What can be wrong with data on disk whatever the model is: found before TensorFlow loads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from converters.errors import DataError
from tfmpq.data.calibration_files import ARRAY_SUFFIXES, choose_files, spaced
from tfmpq.data.class_folders import find_classes
from tfmpq.data.evaluation_set import load_labelled
from tfmpq.data.images import check_images
from tfmpq.data.named_function import function_name
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.shards.formats import find_shards
from tfmpq.data.shards.labelled import has_labels, labelled_shards
from tfmpq.data.shards.reading import check_first
from tfmpq.files import read_npy, read_npz


def check_calibration(
    path: str | os.PathLike[str], *, preprocessing: Preprocessing | None = None, max_samples: int | None = None
) -> None:
    """Checks what :func:`tfmpq.data.calibration_files.open_calibration` would read, as far as no model is needed.

    Raises:
        DataError: Nothing is there, or a value is not finite.
        MissingDependencyError: Images need Pillow.
        OptionError: Images without ``preprocessing``.
    """
    named = function_name(os.fspath(path))
    if named is not None:
        named.load()
        return
    shards = find_shards(path)
    if shards is not None and shards.format is not None:
        check_first(shards, preprocessing)
        return
    path = Path(path)
    if shards is None and not path.is_dir():
        for name, array in _arrays(path).items():
            _check_finite(array, spaced(len(array), max_samples) if array.ndim else (), name, path)
        return
    if shards is None:
        files = choose_files(path, max_samples)
    else:
        files = [shards.files[i] for i in spaced(len(shards.files), max_samples)]
    if files[0].suffix.lower() not in ARRAY_SUFFIXES:
        check_images(f"'{path}'" if shards else f"directory '{path}'", preprocessing)
        return
    for file in files:
        for name, array in _arrays(file).items():
            _check_finite(array, range(len(array)) if array.ndim else (), name, file)


def check_evaluation(
    path: str | os.PathLike[str],
    *,
    preprocessing: Preprocessing | None = None,
    names: list[str] | None = None,
    needs_labels: bool = True,
) -> None:
    """Checks what :func:`tfmpq.data.labelled_files.read_labelled` would read, as far as no model is needed.

    Raises:
        DataError: Nothing is there, there are no labels and some are needed, or a value is not finite.
        MissingDependencyError: A package that reads the files.
        OptionError: Images without ``preprocessing``.
    """
    named = function_name(os.fspath(path))
    if named is not None:
        named.load()
        return
    shards = labelled_shards(path)
    if shards is not None:
        check_first(shards, preprocessing)
        labelled = has_labels(shards, shards.files)
    elif Path(path).is_dir():
        find_classes(path, names)
        check_images(f"directory '{path}'", preprocessing)
        return
    else:
        labelled = load_labelled(path).labels is not None
    if needs_labels and not labelled:
        how = "save class numbers y too, np.savez(path, x=..., y=...)"
        if shards:
            how = f"write a field 'y' or 'label' into all samples, from the first one in '{shards.files[0]}' on"
        raise DataError(f"'{path}' has no labels: {how}")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix.lower() != ".npz":
        return {"": read_npy(path)}
    return {name: array for name, array in read_npz(path).items() if name != "y"}


def _check_finite(array: np.ndarray, rows: Iterable[int], name: str, path: Path) -> None:
    if array.dtype.kind != "f":
        return
    for row in rows:
        wrong = np.argwhere(~np.isfinite(array[row]))
        if len(wrong):
            place = tuple(int(i) for i in wrong[0])
            which = f", array '{name}'," if name else ""
            raise DataError(
                f"sample {row} of '{path}'{which} is {array[row][place]} at {place}. Check the preprocessing, a "
                "division by zero for example, or leave the sample out."
            )
