"""How far class probabilities are from those of another file."""

from __future__ import annotations

import numpy as np

_EVEN = 1e-2  # by how much int8 probabilities may miss a sum of 1


def divergence(reference: np.ndarray, outputs: np.ndarray) -> float:
    """Mean KL divergence of the class probabilities from the reference's, in nats.

    Args:
        reference: outputs of the float model (samples, classes); a softmax is applied unless they are probabilities.
        outputs: of the file. int8 probabilities end at 1/256: classes at 0 share what the others leave of 1, half a
            step at least.
    """
    wide = reference.astype(np.float64)
    if wide.min() < 0 or np.abs(wide.sum(1) - 1).max() > _EVEN:
        p, q = _softmax(wide), _softmax(outputs.astype(np.float64))
    else:
        p, q = wide, np.maximum(outputs.astype(np.float64), 0)
        empty = q <= 0
        left = np.maximum(1 - q.sum(1), 1 / 512) / np.maximum(empty.sum(1), 1)
        q = np.where(empty, left[:, None], q)
        q /= q.sum(1, keepdims=True)
    p = np.maximum(p, 1e-30)
    return float((p * (np.log(p) - np.log(np.maximum(q, 1e-30)))).sum(1).mean())


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
