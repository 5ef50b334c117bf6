"""Cosines between vectors, as all of tfmpq's results have them."""

from __future__ import annotations

import numpy as np


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine between each two rows of arrays (n, d): float64 (n,); 1 of two zero rows, 0 of one."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    same = ~(first.any(axis=1) | second.any(axis=1))
    return np.where(same, 1.0, (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1.0))
