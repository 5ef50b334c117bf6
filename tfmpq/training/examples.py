"""What a network is trained on: arrays, images read as they are needed, or the user's own tf.data.Dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from converters.errors import DataError
from converters.frontend.float_model import InputSpec
from tfmpq.data.evaluation_set import Labelled, check_labelled
from tfmpq.data.sample_arrays import describe, describe_shape
from tfmpq.training.objective import Objective
from tfmpq.training.orders import orders

SAMPLES = 256  # representative ones; conversions take a hundred or two
_HEADING = re.compile(r"Graph execution error:|Detected at node |\d+ root error|Traceback \(most recent|<stack traces")
_OF_DATASET = r"Error in user-defined function passed to \S+ transformation with iterator: \S+: "
_FEW = 64  # samples that are looked at to see what labels are


@dataclass(frozen=True, eq=False)
class Examples:
    """Samples in batches.

    Attributes:
        batches: for a number of epochs, (inputs in the model's order, labels), or (inputs,) where there are no labels.
        count: samples.
        steps: batches.
        labelled: whether there are labels.
        samples: up to 256 of the samples, evenly spaced or the first ones: representative data.
    """

    batches: Callable[[int], tf.data.Dataset]
    count: int
    steps: int
    labelled: bool
    samples: list[list[np.ndarray]]

    def inputs(self) -> Iterator[list[np.ndarray]]:
        """A pass over the inputs, batch by batch."""
        for batch in self.batches(1).as_numpy_iterator():
            yield list(batch[0])


def specs_of(model: Any) -> list[InputSpec]:
    """The inputs of a Keras model."""
    return [InputSpec(t.name, (), (None, *t.shape[1:]), np.dtype(t.dtype)) for t in model.inputs]


def ordered(data: Labelled, specs: Sequence[InputSpec], source: str) -> Labelled:
    """The data with an array for each input under its name, in the model's order.

    Raises:
        DataError: There are none for an input, or they do not fit.
    """
    check_labelled(data, source=source, class_labels=False)
    arrays = list(data.inputs.values()) if len(specs) == len(data.inputs) == 1 else None
    if arrays is None:
        if {spec.name for spec in specs} != set(data.inputs):
            raise DataError(
                f"{source} holds the arrays {sorted(data.inputs)}, but the model's inputs are {describe(specs)}: save "
                "one array for each input under its name, and labels as y"
            )
        arrays = [data.inputs[spec.name] for spec in specs]
    for spec, array in zip(specs, arrays, strict=True):
        _check_shape(array.shape[1:], spec, source)
    pairs = zip(specs, arrays, strict=True)
    typed = {s.name: _typed(a, s, source) if isinstance(a, np.ndarray) else a for s, a in pairs}
    return Labelled(typed, data.labels)


def _typed(array: np.ndarray, spec: InputSpec, source: str) -> np.ndarray:
    """An array as its input takes it."""
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused below
        found = array.astype(spec.dtype, copy=False)
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise DataError(
            f"{source} holds NaN, infinity or values beyond {spec.dtype} for input '{spec.name}'. Check what makes the "
            "data."
        )
    return found


def of_arrays(data: Labelled, rows: np.ndarray, specs: Sequence[InputSpec], *, batch_size: int, seed: int) -> Examples:
    """Some rows of arrays, in batches that are shuffled anew in every epoch.

    Args:
        data: from :func:`ordered`, labels from :meth:`Objective.checked`.
        rows: numbers of the samples.
        specs: the model's inputs.
        batch_size: samples a batch; the last one may have fewer.
        seed: of the order.
    """
    types = [tf.as_dtype(spec.dtype) for spec in specs]
    shapes = [(None, *array.shape[1:]) for array in data.inputs.values()]
    labels = data.labels
    if labels is not None:
        types.append(tf.as_dtype(labels.dtype))
        shapes.append((None, *labels.shape[1:]))

    def read(chosen: np.ndarray) -> list[np.ndarray]:
        found = [array[chosen].astype(s.dtype) for array, s in zip(data.inputs.values(), specs, strict=True)]
        return found if labels is None else [*found, labels[chosen]]

    def batch(chosen: Any) -> tuple[Any, ...]:
        tensors = tf.numpy_function(read, [chosen], types)
        for tensor, shape in zip(tensors, shapes, strict=True):
            tensor.set_shape(shape)
        inputs = tuple(tensors[: len(specs)])
        return (inputs,) if labels is None else (inputs, tensors[-1])

    def batches(epochs: int) -> tf.data.Dataset:
        return orders(rows, batch_size, epochs, seed).map(batch).prefetch(1)

    spaced = rows[np.arange(min(SAMPLES, len(rows))) * len(rows) // min(SAMPLES, len(rows))]
    found = read(spaced)[: len(specs)]
    samples = [[array[i : i + 1] for array in found] for i in range(len(spaced))]
    return Examples(batches, len(rows), -(-len(rows) // batch_size), labels is not None, samples)


def first_labels(dataset: tf.data.Dataset, specs: Sequence[InputSpec], source: str) -> np.ndarray | None:
    """Labels of a dataset's first samples; None: it has none."""
    for _, labels in _passed(batched(dataset, specs, 1, source), source):
        return None if labels is None else labels[:_FEW]
    raise DataError(f"{source} gives no samples.")


def batched(dataset: object, specs: Sequence[InputSpec], batch_size: int, source: str) -> tf.data.Dataset:
    """A user's dataset as ((inputs in the model's order), labels) or ((inputs),), in batches.

    One that has batches keeps them.

    Raises:
        DataError: It is no dataset of (inputs, labels), never ends, or its inputs are not the model's.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise DataError(
            f"{source} gives {type(dataset).__name__}, no tf.data.Dataset. Return a dataset of (inputs, labels), "
            "such as tf.data.Dataset.from_tensor_slices((x, y))."
        )
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{source} gives a dataset without an end. Take .repeat() off it: --epochs says how often.")
    element = dataset.element_spec
    parts = element if isinstance(element, tuple) and len(element) in (1, 2, 3) else (element,)
    if len(parts) == 3 or (len(parts) == 2 and not isinstance(parts[1], tf.TensorSpec)):
        what = "weights of samples beside them" if len(parts) == 3 else "labels that are no single array"
        raise DataError(f"{source} gives {what}, which are not taken; give (inputs, labels), or use fit in Python.")
    found = _in_order(parts[0], specs, source)
    ranks = {(part.shape.rank or 0) - len(spec.shape) if part.shape.rank is not None else None for part, spec in found}
    if not ranks <= {0, -1} or len(ranks) != 1:
        shapes = ", ".join(str(part.shape) for part, _ in found)
        raise DataError(
            f"{source} gives inputs of shape {shapes}, which are neither samples nor batches of {describe(specs)}. "
            "Where shapes are not known, say them: output_signature of from_generator, set_shape."
        )
    if ranks == {-1}:
        dataset = dataset.batch(batch_size)
    for part, spec in found:
        _check_shape(list(part.shape)[len(part.shape) - len(spec.shape) + 1 :], spec, source)

    def in_order(*batch: Any) -> tuple[Any, ...]:
        inputs = tuple(tf.cast(value, spec.dtype) for value, spec in _in_order(batch[0], specs, source))
        return (inputs, *batch[1:]) if len(parts) == 2 else (inputs,)

    # A dataset whose elements are no tuples gives its one value, or a dictionary.
    return dataset.map(in_order if isinstance(element, tuple) else lambda value: in_order(value))


def of_dataset(batches: tf.data.Dataset, objective: Objective, source: str) -> Examples:
    """A user's dataset, read once to check and count it.

    Args:
        batches: from :func:`batched`.
        objective: what it is for.
        source: for messages.

    Raises:
        DataError: It is empty, raises an error, or holds values that are not finite or labels that do not fit.
    """
    count = steps = 0
    element: Any = batches.element_spec
    labelled = len(element) == 2
    samples: list[list[np.ndarray]] = []
    for inputs, labels in _passed(batches, source):
        if labels is not None:
            objective.checked(labels, f"{source}: batch {steps + 1}")
        rows = range(len(inputs[0]))
        samples += islice(([array[i : i + 1] for array in inputs] for i in rows), SAMPLES - len(samples))
        count, steps = count + len(rows), steps + 1
    if not count:
        raise DataError(f"{source} gives no samples.")

    def with_labels(inputs: Any, labels: Any) -> tuple[Any, Any]:
        wanted = objective.shape[:-1] if objective.class_numbers else objective.shape
        shape = [tf.shape(labels)[0], *(tf.shape(labels)[i + 1] if n is None else n for i, n in enumerate(wanted))]
        labels = tf.reshape(labels, shape)
        if not objective.class_numbers:
            return inputs, tf.cast(labels, tf.float32)
        numbers, classes = tf.cast(labels, tf.int64), objective.shape[-1]
        known = (tf.cast(numbers, labels.dtype) == labels) & (numbers >= 0)
        known &= True if classes is None else numbers < classes
        # The first pass was checked, and later ones may be different.
        what = f"{source} gives labels that are no class numbers in a later pass than its first"
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(known), [what])]):
            return inputs, tf.identity(numbers)

    # Generators do not know how much they give, and training has to.
    whole = (batches.map(with_labels) if labelled else batches).apply(tf.data.experimental.assert_cardinality(steps))
    return Examples(lambda epochs: whole.repeat(epochs).prefetch(1), count, steps, labelled, samples)


def collected(batches: tf.data.Dataset, specs: Sequence[InputSpec], source: str) -> Labelled:
    """All samples of a dataset as arrays: what is measured on is read again and again."""
    found = list(_passed(batches, source))
    if not found:
        raise DataError(f"{source} gives no samples.")
    columns = zip(*(inputs for inputs, _ in found), strict=True)
    arrays = {spec.name: np.concatenate(column) for spec, column in zip(specs, columns, strict=True)}
    labels = [labels for _, labels in found if labels is not None]
    return Labelled(arrays, np.concatenate(labels) if labels else None)


def _passed(batches: tf.data.Dataset, source: str) -> Iterator[tuple[list[np.ndarray], np.ndarray | None]]:
    """A pass over checked batches; errors of the user's code say at which one."""
    number = 0
    try:
        for batch in batches.as_numpy_iterator():
            inputs, labels = list(batch[0]), np.asarray(batch[1]) if len(batch) == 2 else None
            for array in inputs if labels is None else [*inputs, labels]:
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise DataError(f"{source}: batch {number + 1} holds NaN or infinity. Check what makes the data.")
                if array.dtype.kind not in "biuf":
                    raise DataError(f"{source}: batch {number + 1} holds {array.dtype}, no numbers.")
            yield inputs, labels
            number += 1
    except tf.errors.OpError as error:
        raise DataError(
            f"{source} raised an error at batch {number + 1}: {error_line(error)}. Iterate over it yourself to debug."
        ) from error


def error_line(error: tf.errors.OpError) -> str:
    """What TensorFlow says, without where in its graph that was, and without tracebacks."""
    text = re.sub(rf"\{{\{{.*?\}}\}}|{_OF_DATASET}|^ +\(\d+\) ", "", error.message or str(error), flags=re.MULTILINE)
    # Places are indented, and headed by lines that say nothing.
    lines = [line.strip()[:300] for line in text.splitlines() if line.strip() and not line.startswith(("\t", "  "))]
    return next((line for line in lines if not _HEADING.match(line)), lines[0] if lines else type(error).__name__)


def _in_order(value: Any, specs: Sequence[InputSpec], source: str) -> list[tuple[Any, InputSpec]]:
    """Inputs, or what TensorFlow knows of them, and the model's inputs that they are for."""
    if isinstance(value, Mapping):
        if set(value) != {spec.name for spec in specs}:
            raise DataError(f"{source} gives the inputs {sorted(value)}, and the model's are {describe(specs)}.")
        return [(value[spec.name], spec) for spec in specs]
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(values) != len(specs):
        raise DataError(f"{source} gives {len(values)} inputs, and the model's are {describe(specs)}.")
    return list(zip(values, specs, strict=True))


def _check_shape(shape: Sequence[int | None], spec: InputSpec, source: str) -> None:
    wanted = spec.shape[1:]
    if len(shape) != len(wanted) or any(None not in (n, w) and n != w for n, w in zip(shape, wanted, strict=True)):
        raise DataError(
            f"{source} has samples of shape {describe_shape(list(shape))} for input '{spec.name}', which takes "
            f"{describe_shape(wanted)}."
        )
