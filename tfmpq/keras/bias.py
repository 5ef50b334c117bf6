"""Biases as a file holds them: int32 multiples of the layer's input step times the row's.

With few bits of weights and of activations that product is no longer small beside what the layer writes, and training
has to know of it.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def rounded_bias(bias: Any, units: Any) -> Any:
    """Biases (C,) as multiples of ``units`` (C,), where these are not 0; gradients pass straight through."""
    safe: Any = ops.where(units > 0, units, 1.0)
    rounded: Any = ops.where(units > 0, ops.round(bias / safe) * safe, bias)
    return bias + ops.stop_gradient(rounded - bias)


def norm_scale(norm: Any) -> Any:
    """(C,) magnitudes of what a batch normalization multiplies rows by in inference."""
    scale: Any = ops.rsqrt(ops.convert_to_tensor(norm.moving_variance) + norm.epsilon)
    return scale if norm.gamma is None else ops.abs(ops.convert_to_tensor(norm.gamma)) * scale


def folded_bias(norm: Any, bias: Any | None) -> Any:
    """(C,) what is added to the rows behind a batch normalization in inference."""
    mean: Any = ops.convert_to_tensor(norm.moving_mean)
    offset: Any = -mean if bias is None else ops.convert_to_tensor(bias) - mean
    scaled: Any = offset * ops.rsqrt(ops.convert_to_tensor(norm.moving_variance) + norm.epsilon)
    scaled = scaled if norm.gamma is None else scaled * ops.convert_to_tensor(norm.gamma)
    return scaled if norm.beta is None else scaled + ops.convert_to_tensor(norm.beta)
