"""How much of a model's quality a file keeps: numbers from the outputs, NumPy only."""

from __future__ import annotations

import numpy as np


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the angle between the rows of two arrays (n, size): (n,); 0 where a row is zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(1) / np.where(lengths > 0, lengths, 1.0)


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value (n,), 0 for the smallest; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[group]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two arrays (n,); NaN if one of them is constant."""
    a, b = ranks(a), ranks(b)
    a, b = a - a.mean(), b - b.mean()
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float((a * b).sum() / length) if length > 0 else float("nan")


def nearest(embeddings: np.ndarray) -> np.ndarray:
    """For each row (n, size) the number of the other row with the largest inner product: (n,)."""
    similarity = embeddings.astype(np.float64) @ embeddings.astype(np.float64).T
    np.fill_diagonal(similarity, -np.inf)
    return similarity.argmax(1)


def perplexity(logits: np.ndarray, following: np.ndarray) -> float:
    """Exp of the mean negative log-likelihood of the next tokens.

    Args:
        logits: (sequences, length, vocabulary).
        following: the tokens that came next, (sequences, length).
    """
    wide = logits.astype(np.float64)
    wide = wide - wide.max(-1, keepdims=True)
    chosen = np.take_along_axis(wide, following[..., None].astype(np.int64), -1)[..., 0]
    return float(np.exp((np.log(np.exp(wide).sum(-1)) - chosen).mean()))
