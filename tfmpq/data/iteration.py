"""A caller's data, in whatever form they come -> a function that starts a pass over their items."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from converters.errors import DataError
from converters.printable import shown

OpenItems = Callable[[], Iterator[Any]]


def open_passes(data: Any, what: str, check_array: Callable[[np.ndarray, str], None]) -> OpenItems:
    """Finds out how ``data`` are read; nothing is read yet.

    Args:
        data: a callable without arguments that returns an iterator or one of the following; an array or a list, tuple
            or whatever else can be iterated more than once (its entries are the items); a dict (one item); a
            tf.data.Dataset.
        what: the name of the argument, for messages.
        check_array: called with an array that holds all items, and with what it is; raises if it cannot be right.

    Raises:
        DataError: The data can be read only once, never end, or are no data. What a callable returns is checked when a
            pass starts.
    """
    if not callable(data):
        return _open_container(data, what, check_array)
    _check_no_arguments(data, what)

    def open_items() -> Iterator[Any]:
        result = data()
        if isinstance(result, Iterator):
            return result
        return _open_container(result, f"what {what}() returns", check_array)()

    return open_items


def _open_container(data: Any, what: str, check_array: Callable[[np.ndarray, str], None]) -> OpenItems:
    if isinstance(data, Iterator):
        raise DataError(
            f"{what} is a {type(data).__name__}, which can be read only once, and calibration reads the data several "
            f"times. Pass the function that makes it ({what}=samples, not {what}=samples()), or a list."
        )
    if hasattr(data, "as_numpy_iterator"):  # a tf.data.Dataset, recognized without TensorFlow
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise DataError(f"{what} is a tf.data.Dataset that repeats for ever. Limit it: dataset.take(100)")
        return data.as_numpy_iterator
    if isinstance(data, Mapping):
        return lambda: iter([data])
    if isinstance(data, np.ndarray) and data.dtype != object:
        check_array(data, what)
        return lambda: iter(data)
    if data is None or isinstance(data, (str, bytes)):
        raise DataError(f"{what} is {shown(data)}, no data. Give arrays, or a function that yields them.")
    if isinstance(data, Iterable):
        return lambda: iter(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return lambda: (data[i] for i in range(len(data)))
    raise DataError(
        f"{what} is of type {type(data).__name__}, which cannot be iterated. Give a function that yields samples, an "
        "array, a list of samples or a tf.data.Dataset."
    )


def _check_no_arguments(function: Callable[..., Any], what: str) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins do not tell
        return
    try:
        signature.bind()
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise DataError(
            f"{what} is called without arguments, but {name}{signature} has a {error}. Wrap it: "
            f"{what}=lambda: {name}(...)"
        ) from error
