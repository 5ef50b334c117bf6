"""Representative data: every accepted form -> checked samples by input name, one at a time.

Nothing is collected: a pass holds one item of the caller's data, however many there are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfmpq.errors import DataError
from tfmpq.sample_arrays import describe, describe_shape, fits, read_item

if TYPE_CHECKING:
    from converters.frontend import InputSpec

MAX_SAMPLES = 1_000_000  # a generator that gives more most likely never ends

OpenItems = Callable[[], Iterator[Any]]


@dataclass(frozen=True)
class RepresentativeData:
    """Checked calibration samples that can be read any number of times.

    Attributes:
        count: samples in every pass.
        inputs: the model's inputs.
        open_items: starts a pass over the caller's data.
    """

    count: int
    inputs: tuple[InputSpec, ...]
    open_items: OpenItems

    def __call__(self) -> Iterator[dict[str, np.ndarray]]:
        """Samples as dicts: signature input name -> array with batch dimension, of the input's dtype.

        Raises:
            DataError: A sample does not fit the model, or this pass gives another number than the first.
        """
        count = 0
        for sample in _samples(self.open_items, self.inputs):
            count += 1
            yield sample
        if count != self.count:
            raise DataError(
                f"rep_dataset gave {self.count} samples at first and {count} in a later pass. It is read several times "
                "and must give the same samples every time: let it use up nothing that lives outside of it."
            )


def check_samples(rep_dataset: object, inputs: Sequence[InputSpec]) -> RepresentativeData:
    """Reads the data once, checks every sample and counts them.

    Args:
        rep_dataset: one of

            * a callable without arguments that returns an iterator of samples (what TFLiteConverter takes), a generator
              function for example;
            * an array, for models of one input: (N, ...) or (N, 1, ...), samples along the first axis;
            * a dict of such arrays by input name;
            * a list, a tuple or whatever else can be iterated more than once, of samples;
            * a tf.data.Dataset, batched or not.

            A sample is an array (models of one input), a list or tuple of arrays in input order, or a dict by input
            name. Arrays come with or without the batch dimension; a batch of k counts as k samples. Values are
            converted to the input's dtype where that loses no more than float64 -> float32 rounding does.
        inputs: the model's inputs, in the user's order.

    Raises:
        DataError: There are no samples, they can be read only once, or one does not fit (the message names sample and
            input).
    """
    inputs = tuple(inputs)
    if callable(rep_dataset):
        _check_no_arguments(rep_dataset)
        open_items = _open_callable(rep_dataset, inputs)
    else:
        open_items = _open_container(rep_dataset, inputs, "rep_dataset")
    count = 0
    for _ in _samples(open_items, inputs):
        count += 1
        if count > MAX_SAMPLES:
            raise DataError(
                f"rep_dataset gave more than {MAX_SAMPLES} samples and does not end. Limit it to a few hundred, with "
                "itertools.islice for example."
            )
    if not count:
        raise DataError(
            "rep_dataset gives no samples. int8 needs some to find the ranges of activations; 100 is usual."
        )
    if callable(rep_dataset) and not any(True for _ in _guarded(open_items)):
        raise DataError(
            "rep_dataset gives samples only at the first call: the iterator it returns is made outside of it and used "
            "up by then. Make the iterator inside the function, so that every call starts anew."
        )
    return RepresentativeData(count, inputs, open_items)


def _samples(open_items: OpenItems, inputs: tuple[InputSpec, ...]) -> Iterator[dict[str, np.ndarray]]:
    for number, item in enumerate(_guarded(open_items)):
        yield from read_item(item, inputs, f"sample {number} of rep_dataset")


def _guarded(open_items: OpenItems) -> Iterator[Any]:
    """The items; an error in the caller's code says at which one it happened."""
    number = 0
    try:
        for item in open_items():
            yield item
            number += 1
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"rep_dataset raised {type(error).__name__} at sample {number}: {error}. Iterate over it yourself to debug."
        ) from error


# ---------------------------------------------------------------- starting a pass


def _open_callable(function: Callable[[], Any], inputs: tuple[InputSpec, ...]) -> OpenItems:
    def open_items() -> Iterator[Any]:
        result = function()
        if isinstance(result, Iterator):
            return result
        return _open_container(result, inputs, "what rep_dataset() returns")()

    return open_items


def _open_container(data: Any, inputs: tuple[InputSpec, ...], what: str) -> OpenItems:
    if isinstance(data, Iterator):
        raise DataError(
            f"{what} is a {type(data).__name__}, which can be read only once, and calibration reads the data several "
            "times. Pass the function that makes it (rep_dataset=samples, not rep_dataset=samples()), or a list."
        )
    if hasattr(data, "as_numpy_iterator"):  # a tf.data.Dataset, recognized without TensorFlow
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise DataError(f"{what} is a tf.data.Dataset that repeats for ever. Limit it: dataset.take(100)")
        return data.as_numpy_iterator
    if isinstance(data, Mapping):
        return lambda: iter([data])
    if isinstance(data, np.ndarray) and data.dtype != object:
        _check_array(data, inputs, what)
        return lambda: iter(data)
    if data is None or isinstance(data, (str, bytes)):
        raise DataError(f"{what} is {data!r}, no data. Give arrays, or a function that yields them.")
    if isinstance(data, Iterable):
        return lambda: iter(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return lambda: (data[i] for i in range(len(data)))
    raise DataError(
        f"{what} is of type {type(data).__name__}, which cannot be iterated. Give a function that yields samples, an "
        "array, a list of samples or a tf.data.Dataset."
    )


def _check_array(data: np.ndarray, inputs: tuple[InputSpec, ...], what: str) -> None:
    if len(inputs) != 1:
        raise DataError(
            f"{what} is one array, but the model has {len(inputs)} inputs: {describe(inputs)}. Give a dict with an "
            "array of shape (N, ...) for each, or a function that yields dicts."
        )
    if not data.ndim or not fits(data.shape[1:], inputs[0]):
        raise DataError(
            f"{what} is an array of shape {data.shape}, but input '{inputs[0].name}' takes "
            f"{describe_shape(('N', *inputs[0].shape[1:]))}, samples along the first axis. Add that axis to a single "
            "sample: array[None]"
        )


def _check_no_arguments(function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins do not tell
        return
    try:
        signature.bind()
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise DataError(
            f"rep_dataset is called without arguments, but {name}{signature} has a {error}. Wrap it: "
            f"rep_dataset=lambda: {name}(...)"
        ) from error
