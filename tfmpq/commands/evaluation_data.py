"""Labelled data for files that are run: an .npz or class folders, as the metric takes them."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from tfmpq.analysis.metrics import TOP1
from tfmpq.commands.budget_flags import define_classes_flag
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.data.class_folders import read_class_names, read_labelled
from tfmpq.data.evaluation_set import Labelled, load_labelled
from tfmpq.data.file_inputs import inputs_and_classes


def define_data_flags(values: flags.FlagValues) -> None:
    """Adds ``--preprocess``, ``--mean``, ``--std`` and ``--classes``."""
    define_image_flags(values)
    define_classes_flag(values)


def read_evaluation(values: flags.FlagValues, file: str, path: str) -> Labelled:
    """Reads the data for a file.

    Args:
        values: of the flags above, ``--metric`` and ``--signature``.
        file: the .tflite file, whose input images are made for.
        path: of the data.

    Raises:
        DataError: Nothing usable is there.
        FileFormatError: The file cannot be read or run.
        UsageError: Flags contradict each other.
    """
    if not Path(path).is_dir():
        return load_labelled(path, class_labels=values.metric == TOP1)
    preprocessing = read_preprocessing(values)
    names = None if values.classes is None else read_class_names(values.classes)
    if values.signature is not None:
        from converters.frontend.entry_file import entry_first  # loads the schema, which the rest does without

        inputs, classes = inputs_and_classes(entry_first(file, values.signature))
    else:
        inputs, classes = inputs_and_classes(file)
    return read_labelled(path, inputs, preprocessing=preprocessing, names=names, classes=classes)
