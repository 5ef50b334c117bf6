"""Rows of a planned layer as whole numbers on one grid each, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.lowering.quantized_layer import scale_floor
from converters.lowering.split import lowest_int4_code
from converters.points import code_range, grid_limits, radix, split_digits
from tfmpq.algorithms import Candidate
from tfmpq.algorithms.problem import output_error
from tfmpq.algorithms.two_sided import Grids
from tfmpq.stages import Planned


def whole_rows(layer: Planned) -> tuple[np.ndarray, Grids]:
    """Codes float64 (C, d) and grids of rows whose points are radix digits.

    Args:
        layer: with its points chosen, each row's scales powers of the radix apart.
    """
    counts, bits = layer.counts, layer.settings.bits
    codes = np.empty(layer.layer.weight.shape)
    step, low, high = (np.empty(len(counts)) for _ in range(3))
    for points in np.unique(counts):
        rows = np.flatnonzero(counts == points)
        found = layer.candidates[points - 1]
        base = float(radix(bits, int(points)))
        codes[rows] = sum(found.codes[i, rows] * base ** (points - 1 - i) for i in range(points))
        step[rows] = found.scales[points - 1, rows]
        low[rows], high[rows] = grid_limits(bits, int(points))
        if points == 1 and lowest_int4_code(layer.layer) > code_range(bits)[0]:
            low[rows] = -high[rows]
    return codes, Grids(step, low, high, np.maximum(scale_floor(layer.layer), np.finfo(np.float32).tiny))


def with_rows(layer: Planned, codes: np.ndarray, step: np.ndarray) -> Planned:
    """The layer with other codes (C, d) and scales (C,) in the rows' same numbers of points."""
    bits, weight = layer.settings.bits, layer.layer.weight.astype(np.float64)
    change = layer.layer.grouped(codes * step[:, None] - weight)
    error = output_error(change, layer.statistics.covariance).reshape(-1)
    candidates = list(layer.candidates)
    for points in np.unique(layer.counts):
        rows, old = np.flatnonzero(layer.counts == points), candidates[points - 1]
        new = Candidate(old.codes.copy(), old.scales.copy(), old.error.copy())
        digits = split_digits(codes[rows], bits=bits, points=int(points))
        base, last = radix(bits, int(points)), step[rows].astype(np.float32)
        for i, digit in enumerate(digits):
            new.codes[i, rows] = digit.astype(np.int8)
            new.scales[i, rows] = last * np.float32(base ** (points - 1 - i))
        new.error[rows] = error[rows]
        candidates[points - 1] = new
    return replace(layer, candidates=tuple(candidates))
