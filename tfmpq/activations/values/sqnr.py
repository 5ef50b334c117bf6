"""Signal to noise in decibels, as all of tfmpq's results have it."""

from __future__ import annotations

import math


def sqnr_db(signal: float, noise: float) -> float:
    """Signal to quantization noise in dB: inf without noise; -inf for noise without signal, or that is no number."""
    if noise == 0:
        return math.inf
    ratio = signal / noise
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf
