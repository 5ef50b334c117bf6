"""The multipoint paper's rule for the number of points of a row."""

from __future__ import annotations

import numpy as np


def epsilon_counts(errors: np.ndarray, energy: np.ndarray, epsilon: float) -> np.ndarray:
    """The paper's rule: a row takes points until its output error is at most ``epsilon`` of its output energy.

    Source: Liu et al., AAAI 2021, section 3.3 (there with an absolute threshold).

    Args:
        errors: (points, C) output error with 1, 2, ... points.
        energy: (C,) mean squared output.
        epsilon: relative error allowed.

    Returns:
        int (C,): the fewest points that are enough, the most there are where none is.
    """
    enough = errors <= epsilon * energy
    enough[-1] = True
    return enough.argmax(axis=0).astype(np.int64) + 1
