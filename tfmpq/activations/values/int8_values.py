"""What int8 makes of values."""

from __future__ import annotations

import numpy as np

_LOW, _HIGH = -128, 127


def rounded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as an int8 tensor of that range holds them, as TensorFlow chooses scale and zero point.

    Args:
        values: of any shape.
        low, high: of the range; it is widened to contain 0.

    Returns:
        float64, of the same shape; 0 everywhere for a range without width.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / (_HIGH - _LOW)
    if not step:
        return np.zeros(np.shape(values))
    zero = np.clip(np.round(_LOW - low / step), _LOW, _HIGH)
    codes = np.clip(np.round(np.asarray(values, np.float64) / step) + zero, _LOW, _HIGH)
    return (codes - zero) * step
