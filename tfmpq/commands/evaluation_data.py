"""Labelled data for files that are run, as the metric takes them."""

from __future__ import annotations

from collections.abc import Iterator

from absl import flags

from converters.frontend.float_model import InputSpec
from tfmpq.analysis.metrics import TOP1
from tfmpq.commands.budget_flags import define_classes_flag
from tfmpq.commands.command import UsageError
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.data.class_folders import read_class_names
from tfmpq.data.evaluation_set import Labelled, load_labelled
from tfmpq.data.file_inputs import inputs_and_classes
from tfmpq.data.labelled_files import is_arrays, read_labelled
from tfmpq.data.named_function import function_name
from tfmpq.data.shards.labelled import Chunk, function_chunks, labelled_shards, shard_chunks
from tfmpq.data.shards.parts import check_parts, files_of_part


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
    if is_arrays(path):  # what is wrong with them is said before a file is run
        return load_labelled(path, class_labels=values.metric == TOP1)
    preprocessing = read_preprocessing(values)
    names = None if values.classes is None else read_class_names(values.classes)
    inputs, classes = _inputs_and_classes(values, file)
    return read_labelled(path, inputs, preprocessing=preprocessing, names=names, classes=classes)


def open_stream(values: flags.FlagValues, file: str, text: str, part: tuple[int, int]) -> Iterator[Chunk] | None:
    """Labelled samples in shards, or from a function, a few at a time; None: the data are neither.

    Args:
        values: as for :func:`read_evaluation`.
        file: the .tflite file.
        text: what names the data.
        part: which of how many parts of the files.

    Raises:
        DataError: No file matches, there are fewer than parts, or they hold no labels.
        FileFormatError: The file cannot be read or run.
        UsageError: A function cannot be shared by parts.
    """
    named = function_name(text)
    if named is not None:
        if part != (1, 1):
            raise UsageError("--part shares files, and a function gives none: give a glob")
        return function_chunks(named, _inputs_and_classes(values, file)[0])
    shards = labelled_shards(text)
    if shards is None:
        return None
    chosen = [path for _, path in files_of_part(check_parts(text, part).files, part)]
    return shard_chunks(shards, chosen, _inputs_and_classes(values, file)[0], read_preprocessing(values))


def _inputs_and_classes(values: flags.FlagValues, file: str) -> tuple[list[InputSpec], int | None]:
    if values.signature is None:
        return inputs_and_classes(file)
    from converters.frontend.entry_file import entry_first  # loads the schema, which the rest does without

    return inputs_and_classes(entry_first(file, values.signature))
