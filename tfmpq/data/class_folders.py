"""Labelled images in class folders: ``photos/cat/1.jpg``, ``photos/dog/1.jpg``, ..."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from converters.errors import DataError
from converters.small_file import read_file
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.images import IMAGE_SUFFIXES, image_reader
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.shards.formats import glob_in

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec


class ImageFiles:
    """Images read when they are asked for: as much of an array (samples, height, width, channels) as is needed.

    Attributes:
        shape: of all images together.
        dtype: of their values.
    """

    ndim = 4

    def __init__(self, files: Sequence[Path], read: Callable[[Path], np.ndarray], dtype: np.dtype) -> None:
        self._files = files
        self._read = read
        self.dtype = dtype
        self.shape = (len(files), *read(files[0]).shape)

    def of(self, rows: np.ndarray) -> ImageFiles:
        """Some of the images."""
        return ImageFiles([self._files[row] for row in rows], self._read, self.dtype)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self._read(self._files[row]) for row in rows]).astype(self.dtype)


def find_classes(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> list[tuple[Path, int]]:
    """The images of a directory of class folders, each with its class number, in order of their paths.

    Args:
        path: a directory with one folder of images for each class; images may lie deeper in it.
        names: the classes' names, class 0 first; None: folders that are all called by numbers are those classes,
            others are numbered from 0 in alphabetical order, as Keras and PyTorch do.

    Raises:
        DataError: There are no such folders, images lie beside them, or a folder is none of ``names``.
    """
    folders = sorted(p for p in Path(path).iterdir() if p.is_dir() and not p.name.startswith("."))
    images = {folder: _images(folder) for folder in folders}
    folders = [folder for folder in folders if images[folder]]
    if not folders or any(p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES for p in Path(path).iterdir()):
        shards = glob_in(path)
        if shards is not None:
            raise DataError(f"directory '{path}' holds shards and no class folders: give a quoted glob, '{shards}'")
        raise DataError(
            f"directory '{path}' holds no class folders: put the images of each class into a folder of its own in it, "
            "or give an .npz with samples x and class numbers y"
        )
    if names is None:
        numbered = all(folder.name.isdecimal() for folder in folders)
        number = {folder: int(folder.name) if numbered else i for i, folder in enumerate(folders)}
    else:
        known = {name: i for i, name in enumerate(names)}
        unknown = [folder.name for folder in folders if folder.name not in known]
        if unknown:
            raise DataError(
                f"directory '{path}': folder '{unknown[0]}' is none of the {len(names)} classes: "
                f"{', '.join(names[:5])}, ... Call folders exactly as the classes."
            )
        number = {folder: known[folder.name] for folder in folders}
    return [(image, number[folder]) for folder in folders for image in images[folder]]


def read_class_names(path: str | os.PathLike[str]) -> list[str]:
    """Names of classes, one a line, class 0 first.

    Raises:
        DataError: The file cannot be read, is empty, or has a name twice.
    """
    try:
        names = [line.strip() for line in read_file(path).decode("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(
            f"the class names '{path}' cannot be read: {error}. Give a text file, a name a line."
        ) from error
    while names and not names[-1]:
        names.pop()
    if not names or len(set(names)) < len(names):
        raise DataError(f"the class names '{path}' are none, or hold a name twice. Give one a line, class 0 first.")
    return names


def read_folders(
    path: str | os.PathLike[str],
    inputs: Sequence[InputSpec],
    *,
    preprocessing: Preprocessing | None,
    names: Sequence[str] | None,
    classes: int | None,
) -> Labelled:
    """The images of class folders, read as they are needed; see :func:`tfmpq.data.labelled_files.read_labelled`."""
    found = find_classes(path, names)
    read = image_reader(f"directory '{path}'", inputs, preprocessing)
    labels = np.array([number for _, number in found], np.int64)
    by_order = names is None and not all(image.relative_to(path).parts[0].isdecimal() for image, _ in found)
    if names is not None and classes is not None and len(names) != classes:
        raise DataError(
            f"{len(names)} names of classes are given, but the model has {classes} classes. Name all of them, class 0 "
            "first: a background class counts."
        )
    folders = len(np.unique(labels))
    if by_order and classes is not None and folders != classes:
        raise DataError(
            f"directory '{path}' has {folders} class folders, but the model has {classes} classes, so which is which "
            "is not known. Name the model's classes in a file, one a line, class 0 first: --classes=FILE; or call each "
            "folder by its class number."
        )
    images = ImageFiles([image for image, _ in found], read, inputs[0].dtype)
    return Labelled({inputs[0].name: cast(np.ndarray, images)}, labels)  # what evaluating asks of an array, it has


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES)
