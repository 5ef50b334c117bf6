"""Inputs and outputs of a file: real values and the integers that stand for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.errors import DataError


@dataclass(frozen=True)
class IoDetail:
    """One input or output of an allocated interpreter.

    Attributes:
        name: name in the signature; the tensor's name if the file has no signature.
        index: tensor number.
        shape: current shape.
        shape_signature: shape with -1 for dimensions that may be resized.
        dtype: NumPy type of the raw values.
        scale: quantization scale, 0.0 if the values are not quantized.
        zero_point: quantization zero point.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int


def quantize(values: np.ndarray, detail: IoDetail) -> np.ndarray:
    """Values as the input takes them.

    An array that already has the input's dtype is passed on as it is. Everything else is real values: for a quantized
    input they become ``round(value / scale) + zero_point``, ties away from zero and saturated, as the QUANTIZE operator
    does; for other inputs they are cast.

    Raises:
        DataError: A value is not finite, or a cast would change it.
    """
    if values.dtype == detail.dtype:
        return values
    if values.dtype.kind not in "biuf":
        raise DataError(f"input '{detail.name}' is given values of type {values.dtype}: give numbers")
    if not np.isfinite(values).all():
        raise DataError(f"input '{detail.name}' is given NaN or infinite values: check the preprocessing")
    if detail.scale:
        steps = values.astype(np.float32) / np.float32(detail.scale)
        whole = np.trunc(steps)
        rounded = whole + np.where(np.abs(steps - whole) >= 0.5, np.sign(steps), 0.0)
        limits = np.iinfo(detail.dtype)
        return np.clip(rounded.astype(np.float64) + detail.zero_point, limits.min, limits.max).astype(detail.dtype)
    cast = values.astype(detail.dtype)
    if detail.dtype.kind != "f" and not np.array_equal(cast, values):
        raise DataError(f"input '{detail.name}' takes {detail.dtype}, and casting the given {values.dtype} changes it")
    return cast


def dequantize(values: np.ndarray, detail: IoDetail) -> np.ndarray:
    """Real values, float32, of a raw output; outputs that are not quantized come back unchanged."""
    if not detail.scale:
        return values
    return (values.astype(np.float32) - np.float32(detail.zero_point)) * np.float32(detail.scale)
