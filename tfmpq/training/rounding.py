"""Rounding to whole numbers: to the nearest, or up with the probability of the fraction."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import tensorflow as tf

from converters.errors import OptionError
from converters.printable import shown

Rounding = Literal["nearest", "stochastic"]
_LARGEST_SEED = 2**31 - 1


def check_rounding(rounding: object, seed: object = 0) -> None:
    """Raises an :class:`OptionError` for what is no way to round, or no seed of one."""
    if not isinstance(rounding, str) or rounding not in get_args(Rounding):
        raise OptionError(f"rounding={shown(rounding)}: give 'nearest' or 'stochastic'.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= _LARGEST_SEED:
        raise OptionError(f"seed={shown(seed)} is out of range; give a whole number from 0 to {_LARGEST_SEED}.")


def rounded(values: Any, noise: Any | None) -> Any:
    """Whole numbers near ``values``.

    Args:
        values: float tensor.
        noise: uniform in 0..1, of the same shape: up with the probability of the fraction, so that the expected result
            is the value itself (Gupta et al., ICML 2015, section 3.1). None: to the nearest, ties to even.
    """
    return tf.round(values) if noise is None else tf.floor(values + noise)
