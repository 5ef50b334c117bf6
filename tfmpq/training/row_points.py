"""Rows that are one point, or two where one does not do."""

from __future__ import annotations

import numpy as np

from converters.points import MultipointWeight, Point


def one_or_two_points(
    codes: tuple[np.ndarray, np.ndarray], scales: tuple[np.ndarray | float, np.ndarray | float], bits: int
) -> MultipointWeight:
    """A weight whose rows have the second point only where it is not all zeros.

    Args:
        codes: of the two points, each (C, d).
        scales: of the two points, each (C,) or one for all rows.
        bits: of a code.
    """
    two = np.any(codes[1] != 0, axis=1)
    points = [
        Point(c.astype(np.int8), np.broadcast_to(np.asarray(s, np.float32), two.shape).copy())
        for c, s in zip(codes, scales, strict=True)
    ]
    return MultipointWeight(tuple(points if two.any() else points[:1]), 1 + two.astype(np.int64), bits)
