"""What a benchmark feeds: numbers that are random but the same in every language, or arrays from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from converters.errors import DataError
from converters.runtime.values import IoDetail

_STEP = 0x9E3779B97F4A7C15
_INDICES = ("int32", "int64", "uint32", "uint64")


def random_inputs(details: Sequence[IoDetail], seed: int) -> dict[str, np.ndarray]:
    """Inputs by name, a word of SplitMix64 for every element, running on over the inputs in graph order.

    8 and 16-bit integers are the low bits of their words, floats the top 24 bits in -1..1, booleans the lowest bit.
    Wider integers are 0: they are indices as a rule, and must stay in range. Dimensions that are open become 1.

    Raises:
        DataError: An input takes something else than numbers.
    """
    feeds, used = {}, 0
    for detail in details:
        signature = detail.shape_signature or detail.shape
        shape = tuple(1 if open_ == -1 else max(n, 1) for n, open_ in zip(detail.shape, signature, strict=True))
        count = int(np.prod(shape, dtype=np.int64))
        feeds[detail.name] = _values(_words(seed, used, count), detail).reshape(shape)
        used += count
    return feeds


def given_inputs(arrays: Mapping[str, np.ndarray], details: Sequence[IoDetail]) -> dict[str, np.ndarray]:
    """The arrays of a file as feeds by input name; a model with one input takes a single array of any name.

    Shapes and types are checked when they are fed (:func:`converters.runtime.interpreter.set_inputs`), where real
    values become those the input takes. Arrays that no input is called after are left out.

    Raises:
        DataError: An input has no array, or its array holds NaN or infinite values.
    """
    names = [detail.name for detail in details]
    if len(names) == len(arrays) == 1:
        arrays = dict(zip(names, arrays.values(), strict=True))
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(
            f"there is no array for {_quoted(missing)}; there are {_quoted(arrays)}: name one after each input"
        )
    for name in names:
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise DataError(f"the array for input '{name}' has NaN or infinite values: check the preprocessing")
    return {name: arrays[name] for name in names}


def _words(seed: int, first: int, count: int) -> np.ndarray:
    state = np.uint64(seed % 2**64) + np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(_STEP)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _values(words: np.ndarray, detail: IoDetail) -> np.ndarray:
    dtype = detail.dtype
    if dtype == np.bool_:
        return (words & np.uint64(1)).astype(np.bool_)
    if dtype.kind == "f":
        return ((words >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1).astype(dtype)
    if dtype.name in _INDICES:
        return np.zeros(words.shape, dtype)
    if dtype.kind in "iu":
        return words.astype(dtype)  # the low bits
    raise DataError(
        f"input '{detail.name}' takes {dtype}, for which there are no random values: give inputs in an .npz"
    )


def _quoted(names: Sequence[str] | Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"'{name}'" for name in names)
