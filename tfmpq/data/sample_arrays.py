"""One item of representative data -> the samples in it: arrays by input name, checked, of the input's dtype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import DataError

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

_EXACT_FLOAT32 = 2**24  # every integer up to here is a float32


def read_item(item: Any, inputs: Sequence[InputSpec], where: str) -> Iterator[dict[str, np.ndarray]]:
    """The samples of one item, in the order of its batch dimension.

    Args:
        item: an array (models of one input), a list or tuple in input order, or a dict by input name or alias; every
            array without batch dimension, or with one of any size. Labels (:func:`has_labels`) are dropped.
        inputs: the model's inputs.
        where: for messages, e.g. ``"sample 3 of rep_dataset"``.

    Yields:
        Signature input name -> a new array with batch dimension.

    Raises:
        DataError: The item does not fit the model.
    """
    values = _by_input(item, inputs, where)
    parts = {
        spec.name: _split(_array(value, spec, f"{where}, input '{spec.name}'"), spec, f"{where}, input '{spec.name}'")
        for spec, value in zip(inputs, values, strict=True)
    }
    counts = {name: len(arrays) for name, arrays in parts.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{where}: its inputs hold different numbers of samples, {counts}. Give as many of each.")
    for arrays in zip(*parts.values(), strict=True):
        # Copies: a caller that yields the same buffer again and again would change samples that are kept.
        yield {name: array.copy() for name, array in zip(parts, arrays, strict=True)}


def has_labels(item: Any, inputs: Sequence[InputSpec]) -> bool:
    """Whether an item is (inputs, labels) or (inputs, labels, weights), as labelled tf.data.Datasets give.

    That is certain only for a model of one input, if what follows the input could not be that input itself.
    """
    if len(inputs) != 1 or not isinstance(item, (list, tuple)) or len(item) not in (2, 3):
        return False
    return _complete(item[0], inputs) and not _complete(item[1], inputs)


def fits(shape: Sequence[int], spec: InputSpec) -> bool:
    """Whether an array of this shape is one sample, or a batch of them where the model leaves the batch size open."""
    wanted = spec.shape
    if _has_batch(spec) and _matches(shape, wanted[1:]):
        return True
    return _matches(shape, (None, *wanted[1:]) if _has_batch(spec) else wanted)


def describe(inputs: Sequence[InputSpec]) -> str:
    """The inputs with their shapes, for messages."""
    return ", ".join(f"'{spec.name}' {describe_shape(spec.shape)}" for spec in inputs)


def describe_shape(shape: Sequence[int | str | None]) -> str:
    """A shape for messages; None is "any"."""
    return f"({', '.join('any' if n is None else str(n) for n in shape)})"


def _has_batch(spec: InputSpec) -> bool:
    return bool(spec.shape) and spec.shape[0] in (1, None)


def _matches(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w in (n, None) for n, w in zip(shape, wanted, strict=True))


def _by_input(item: Any, inputs: Sequence[InputSpec], where: str) -> list[Any]:
    """The item's value for every input."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], Mapping):
        item = item[1]  # (signature key, dict), which TFLiteConverter takes too
    if isinstance(item, Mapping):
        return _from_dict(item, inputs, where)
    if has_labels(item, inputs):
        return _by_input(item[0], inputs, where)
    if isinstance(item, (list, tuple)):
        values = list(item)
        if len(values) in (2, 3) and _complete(values[0], inputs):
            raise DataError(
                f"{where} is a {type(item).__name__} of {len(values)}, inputs and labels it seems. Calibration takes "
                "no labels, drop them: dataset.map(lambda x, y: x) for tf.data, `yield x` in a generator."
            )
        if len(values) != len(inputs):
            raise DataError(
                f"{where} is a {type(item).__name__} of {len(values)} values; the model has {len(inputs)} input(s): "
                f"{describe(inputs)}. Give one array for each, in this order; numbers that belong to one input go into "
                "one NumPy array."
            )
        return values
    if len(inputs) != 1:
        raise DataError(
            f"{where} is one value ({type(item).__name__}), but the model has {len(inputs)} inputs: "
            f"{describe(inputs)}. Give a dict by input name, or a list in this order."
        )
    return [item]


def _complete(value: Any, inputs: Sequence[InputSpec]) -> bool:
    """Whether one value alone looks like the model's whole input, so that what follows it must be labels."""
    if isinstance(value, Mapping):
        return True
    if isinstance(value, (list, tuple)):
        return len(value) == len(inputs) and all(hasattr(part, "shape") for part in value)
    return len(inputs) == 1 and hasattr(value, "shape") and fits(tuple(value.shape), inputs[0])


def _from_dict(item: Mapping[Any, Any], inputs: Sequence[InputSpec], where: str) -> list[Any]:
    known = {name: spec.name for spec in inputs for name in (spec.name, *spec.aliases)}
    values: dict[str, Any] = {}
    for key, value in item.items():
        if key not in known:
            raise DataError(f"{where} has an input {key!r}, which the model has not. Its inputs: {describe(inputs)}.")
        if known[key] in values:
            raise DataError(f"{where} gives input '{known[key]}' twice, under two of its names. Give it once.")
        values[known[key]] = value
    missing = [spec.name for spec in inputs if spec.name not in values]
    if missing:
        raise DataError(f"{where} lacks input {', '.join(map(repr, missing))}. Give all of: {describe(inputs)}.")
    return [values[spec.name] for spec in inputs]


def _array(value: Any, spec: InputSpec, where: str) -> np.ndarray:
    """The value as an array of the input's dtype."""
    try:
        array = np.asarray(value)
    except Exception as error:  # ragged lists, tensors on another device
        raise DataError(
            f"{where}: a {type(value).__name__} cannot become an array: {error}. Give NumPy arrays, of one shape."
        ) from error
    if array.dtype.kind not in "biuf":
        what = "None" if value is None else f"a {type(value).__name__} that holds {array.dtype}"
        raise DataError(f"{where} is {what}, no array of numbers. Give {spec.dtype} values, in arrays of one shape.")
    cast = _cast(array, spec.dtype, where)
    if cast.dtype.kind == "f" and not np.isfinite(cast).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(cast))[0])
        raise DataError(
            f"{where} is {cast[index]} at {index} (as {spec.dtype}). Check the preprocessing, a division by zero for "
            "example, or leave the sample out."
        )
    return cast


def _cast(array: np.ndarray, target: np.dtype, where: str) -> np.ndarray:
    """Converts where no more is lost than float64 -> float32 rounding loses."""
    if array.dtype == target:
        return array
    low, high = (int(array.min()), int(array.max())) if array.size and array.dtype.kind in "iu" else (0, 0)
    if target.kind == "f":
        if max(-low, high) > _EXACT_FLOAT32:
            raise DataError(
                f"{where} holds integers beyond 2^24, which {target} cannot hold exactly. Scale them, or convert them "
                "yourself."
            )
        with np.errstate(over="ignore"):  # found as infinity afterwards
            return array.astype(target)
    if target.kind in "iu" and array.dtype.kind in "biu":
        limits = np.iinfo(target)
        if low < limits.min or high > limits.max:
            raise DataError(f"{where} holds values {low}..{high}, beyond {target}. Check the data.")
        return array.astype(target)
    raise DataError(
        f"{where} has values of type {array.dtype}, but the model takes {target}. Convert them yourself, as the "
        f"model's preprocessing does: array.astype('{target}')"
    )


def _split(array: np.ndarray, spec: InputSpec, where: str) -> list[np.ndarray]:
    """The samples of an array that may lack the batch dimension or hold a batch."""
    if _has_batch(spec):
        rest = spec.shape[1:]
        if array.ndim == len(rest) + 2 and array.shape[1] == 1:
            array = array[:, 0]  # a stack of samples, each with its batch dimension
        if _matches(array.shape, rest):
            return [array[None]]
        if array.ndim and _matches(array.shape[1:], rest):
            return [array[i : i + 1] for i in range(len(array))]
    elif _matches(array.shape, spec.shape):
        return [array]
    raise DataError(
        f"{where} has shape {array.shape}, but the model takes {describe_shape(spec.shape)}"
        f"{', with or without the first dimension' if _has_batch(spec) else ''}. Check size and order of the "
        "dimensions (images: height, width, channels)."
    )
