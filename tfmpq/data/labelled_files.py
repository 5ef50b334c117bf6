"""Labelled samples by name: a file of arrays, class folders of images, shards, or a function.

The counterpart of :mod:`tfmpq.data.calibration_files`. But for an .npz, samples are read as they are needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfmpq.data.calibration_files import choose_files
from tfmpq.data.class_folders import read_folders
from tfmpq.data.evaluation_set import Labelled, load_labelled
from tfmpq.data.images import IMAGE_SUFFIXES
from tfmpq.data.named_function import function_name
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.shards.formats import find_shards
from tfmpq.data.shards.labelled import labelled_shards, read_function, read_shards

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

LABELLED = (
    "an .npz with samples x (for several inputs: one array under each input's name) and class numbers y; a directory "
    "with a folder of images for each class (--preprocess); a quoted glob of shards with labels, 'shards/*.tar' "
    "(.tfrecord, .parquet, .npz); or FILE.py:FUNCTION or package.module:FUNCTION, which yields (inputs, label)"
)


def read_labelled(
    path: str | os.PathLike[str],
    inputs: Sequence[InputSpec],
    *,
    preprocessing: Preprocessing | None = None,
    names: Sequence[str] | None = None,
    classes: int | None = None,
    class_labels: bool = True,
) -> Labelled:
    """Labelled samples from whatever names some.

    Args:
        path: an .npz, see :func:`tfmpq.data.evaluation_set.load_labelled`; a directory, see
            :func:`tfmpq.data.class_folders.find_classes`; shards, or a function, see
            :mod:`tfmpq.data.shards.labelled`.
        inputs: the model's inputs; images are resized to the only one.
        preprocessing: for images.
        names: the classes' names, class 0 first; of class folders.
        classes: the model's number of classes; names, and folders numbered by their order, must be as many.
        class_labels: labels of an .npz must be class numbers. Others are checked where they are used.

    Raises:
        DataError: Nothing usable is there.
        MissingDependencyError: A package that reads the files is missing: Pillow for images, pyarrow for Parquet.
        OptionError: Images without ``preprocessing``.
    """
    named = function_name(os.fspath(path))
    if named is not None:
        return read_function(named, inputs)
    shards = labelled_shards(path)
    if shards is not None:
        return read_shards(shards, inputs, preprocessing)
    if Path(path).is_dir():
        return read_folders(path, inputs, preprocessing=preprocessing, names=names, classes=classes)
    return load_labelled(path, class_labels=class_labels)


def unlabelled_images(path: str | os.PathLike[str]) -> Sequence[Path]:
    """Images without labels: those of a directory that has some beside its folders, or of a glob; none: it is neither.

    Raises:
        DataError: No file matches a glob, or the directory holds arrays too.
    """
    if Path(path).is_dir():
        beside = any(file.suffix.lower() in IMAGE_SUFFIXES for file in Path(path).iterdir())
        return choose_files(Path(path), None) if beside else ()
    shards = find_shards(path)
    if shards is None or shards.format is not None or shards.files[0].suffix.lower() not in IMAGE_SUFFIXES:
        return ()
    return shards.files


def is_arrays(path: str | os.PathLike[str]) -> bool:
    """Whether :func:`read_labelled` takes it for a file of arrays, which is read without a model.

    Raises:
        DataError: See there.
    """
    return function_name(os.fspath(path)) is None and labelled_shards(path) is None and not Path(path).is_dir()
