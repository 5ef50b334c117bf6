"""Data of a training: read in every form, split, and matched with what the model gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import tensorflow as tf

from converters.errors import DataError, OptionError
from converters.frontend.float_model import InputSpec
from tfmpq.data.class_folders import ImageFiles
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.images import image_reader
from tfmpq.data.labelled_files import read_labelled, unlabelled_images
from tfmpq.data.named_function import function_name
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.shards.labelled import read_function
from tfmpq.data.shards.stream import labelled_stream, stream_of
from tfmpq.training.course import predicted
from tfmpq.training.examples import Examples, batched, collected, first_labels, of_arrays, of_dataset, ordered, specs_of
from tfmpq.training.from_stream import of_stream
from tfmpq.training.objective import Objective, objective_of
from tfmpq.training.output_kinds import Outputs

_FEW = 64  # samples that are looked at to see what labels are


@dataclass(frozen=True, eq=False)
class CourseData:
    """What a model is trained and measured on.

    Attributes:
        examples: to train on.
        held: to measure on; its labels are what the float model predicts where the data have none. None: nothing.
        objective: what it is trained for.
        measured_on: what ``held`` is, for people.
        agreement: whether ``held`` has labels by the float model.
    """

    examples: Examples
    held: Labelled | None
    objective: Objective
    measured_on: str
    agreement: bool


@dataclass(frozen=True)
class Reading:
    """How data are read.

    Attributes:
        batch_size: samples a step.
        seed: of what is held back, and of the order.
        preprocessing: of images.
        names: of classes, class 0 first, where folders are not called by their numbers.
        outputs: what the model's output is; None: as it ends, and as labels say.
    """

    batch_size: int
    seed: int = 0
    preprocessing: Preprocessing | None = None
    names: Sequence[str] | None = None
    outputs: Outputs | None = None


def read_course_data(model: Any, path: str, validation: str | float, how: Reading) -> CourseData:
    """Reads and checks data for one model.

    Args:
        model: Keras 3 model of one output.
        path: of an .npz, a directory or a glob of images, a glob of shards, ``FILE.py:FUNCTION`` or
            ``package.module:FUNCTION``, which give a dataset.
        validation: the same, or the share of the samples that is held back.
        how: the rest.

    Raises:
        DataError: Data are missing, or do not fit the model.
        OptionError: A share of a dataset, or it cannot be seen what the model's output is.
    """
    specs, source = specs_of(model), f"'{path}'"
    data = _opened(model, path, specs, how)
    if isinstance(data, Labelled):
        labels = None if data.labels is None else data.labels[:_FEW]
        objective = objective_of(model, labels, how.outputs)
        data = _checked(data, objective, source)
        training, held = _split(data.count, validation, how.seed, source)
        if stream_of(data) is None:
            examples = of_arrays(data, training, specs, batch_size=how.batch_size, seed=how.seed)
        else:
            examples = of_stream(_rows(data, training), specs, batch_size=how.batch_size, seed=how.seed)
        kept = None if not len(held) else _rows(data, held)
        measured_on = f"{len(held)} samples held back from {source}"
    else:
        batches = batched(data, specs, how.batch_size, source)
        if not isinstance(validation, str) and validation > 0:
            raise OptionError(
                f"{source} gives a dataset, which may be in another order each time, so that no part of it can be held "
                "back. Give --validation=FILE.py:FUNCTION (or other data) to measure on, or --validation=0."
            )
        objective = objective_of(model, first_labels(data, specs, source), how.outputs)
        examples = of_dataset(batches, objective, source)
        kept, measured_on = None, ""
    if isinstance(validation, str):
        kept, measured_on = _validation(model, validation, specs, objective, how)
    unlabelled = kept is not None and kept.labels is None
    if kept is not None and unlabelled:
        kept = predicted(model, kept, objective)
    return CourseData(examples, kept, objective, measured_on, unlabelled)


def _validation(
    model: Any, path: str, specs: Sequence[InputSpec], objective: Objective, how: Reading
) -> tuple[Labelled, str]:
    data, source = _opened(model, path, specs, how), f"'{path}'"
    if not isinstance(data, Labelled):
        data = collected(batched(data, specs, how.batch_size, source), specs, source)
    return _checked(data, objective, source), f"{source}, {data.count} samples"


def _opened(model: Any, path: str, specs: Sequence[InputSpec], how: Reading) -> Labelled | tf.data.Dataset:
    named = function_name(path)
    if named is not None:
        found = named.call()
        found = read_function(named, specs) if isinstance(found, Iterator) else found
        return ordered(found, specs, f"'{path}'") if isinstance(found, Labelled) else found
    files = unlabelled_images(path)
    if files:
        read = image_reader(f"'{path}'", specs, how.preprocessing)
        images = ImageFiles(files, read, specs[0].dtype)
        data = Labelled({specs[0].name: cast(np.ndarray, images)}, None)  # of an array it has what is asked for
    else:
        classes = model.outputs[0].shape[-1]
        given: dict[str, Any] = {"preprocessing": how.preprocessing, "names": how.names, "classes": classes}
        data = read_labelled(path, specs, **given, class_labels=False)
    return ordered(data, specs, f"'{path}'")


def _checked(data: Labelled, objective: Objective, source: str) -> Labelled:
    return data if data.labels is None else Labelled(data.inputs, objective.checked(data.labels, source, data.place))


def _split(count: int, validation: str | float, seed: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples to train on and those to measure on, by chance: files are often sorted by class."""
    if isinstance(validation, str) or validation == 0:
        return np.arange(count), np.arange(0)
    held = max(1, round(validation * count))
    if held >= count:
        raise DataError(f"{source} holds {count} sample(s); there must be some to train on, and some to measure on.")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])


def _rows(data: Labelled, rows: np.ndarray) -> Labelled:
    """Some samples. Images stay files, and shards are read as they are needed."""
    labels, stream = None if data.labels is None else data.labels[rows], stream_of(data)
    if stream is not None:
        return labelled_stream(stream.of(rows), labels)
    inputs: dict[str, Any] = {
        name: array.of(rows) if isinstance(array, ImageFiles) else array[rows] for name, array in data.inputs.items()
    }
    return Labelled(inputs, labels)
