"""How much of a model's quality a file keeps: numbers from the outputs."""

from __future__ import annotations

import numpy as np

from tfmpq.analysis.metrics import Tally, find_metric


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
    metric = find_metric("perplexity")
    assert metric is not None
    tally = Tally(metric)
    for scores, tokens in zip(logits, following, strict=True):
        tally.add([scores[None]], tokens)
    return tally.measured().value
