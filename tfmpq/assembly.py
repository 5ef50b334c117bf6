"""From candidates and chosen counts to a layer's points and biases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfmpq.algorithms import Candidate
from tfmpq.points import MultipointWeight, Point


def assemble(candidates: Sequence[Candidate], counts: np.ndarray, bits: int) -> MultipointWeight:
    """Takes row c from the candidate with ``counts[c]`` points.

    Args:
        candidates: rows with 1, 2, ... points.
        counts: int (C,), 1..len(candidates).
        bits: bits of the codes.
    """
    deepest = int(counts.max())
    shape = candidates[0].codes.shape[1:]
    codes = np.zeros((deepest, *shape), np.int8)
    scales = np.ones((deepest, shape[0]), np.float32)
    for points in range(1, deepest + 1):
        rows = np.flatnonzero(counts == points)
        codes[:points, rows] = candidates[points - 1].codes[:, rows]
        scales[:points, rows] = candidates[points - 1].scales[:, rows]
    return MultipointWeight(tuple(Point(c, s) for c, s in zip(codes, scales, strict=True)), counts.astype(np.int64), bits)


def corrected_bias(bias: np.ndarray, weight: np.ndarray, quantized: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Bias that keeps the mean output on the calibration data: ``b + (W - W~) E[x]``.

    Source: Banner, Nahshan, Soudry, "Post training 4-bit quantization", NeurIPS 2019, section 4.2, applied to outputs.

    Args:
        bias: (C,).
        weight, quantized: (C, d).
        mean: (G, d), E[x] of each input group; C is a multiple of G.
    """
    groups, columns = mean.shape
    delta = (weight.astype(np.float64) - quantized).reshape(groups, -1, columns)
    return (bias + np.einsum("grd,gd->gr", delta, mean).reshape(-1)).astype(np.float32)
