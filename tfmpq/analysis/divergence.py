"""How far class probabilities are from those of another file."""

from __future__ import annotations

from array import array

import numpy as np

_EVEN = 1e-2  # by how much int8 probabilities may miss a sum of 1


def divergence(reference: np.ndarray, outputs: np.ndarray) -> float:
    """Mean KL divergence of the class probabilities from the reference's, in nats.

    Args:
        reference: outputs of the float model (samples, classes); a softmax is applied unless they are probabilities.
        outputs: of the file. int8 probabilities end at 1/256: classes at 0 share what the others leave of 1, half a
            step at least.
    """
    divergences = Divergences()
    divergences.add(reference, outputs)
    return float(divergences.values().mean())


class Divergences:
    """The divergence of every sample, some samples at a time; two numbers a sample are kept at most.

    Whether the reference's outputs are probabilities is known once all of them were seen.
    """

    def __init__(self) -> None:
        self._even = True
        self._as_scores, self._as_probabilities = array("d"), array("d")

    def add(self, reference: np.ndarray, outputs: np.ndarray) -> None:
        """Further samples; see :func:`divergence`."""
        wide, found = reference.astype(np.float64), outputs.astype(np.float64)
        self._even = self._even and not (wide.min() < 0 or np.abs(wide.sum(1) - 1).max() > _EVEN)
        with np.errstate(invalid="ignore", over="ignore"):  # of infinite scores, whose divergence is no number
            self._as_scores.extend(_divergences(_softmax(wide), _softmax(found)))
            if self._even:
                self._as_probabilities.extend(_divergences(wide, _filled(found)))

    def values(self) -> np.ndarray:
        """In nats, (samples,), in the order they came."""
        return np.array(self._as_probabilities if self._even else self._as_scores)


def _divergences(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    p = np.maximum(p, 1e-30)
    return (p * (np.log(p) - np.log(np.maximum(q, 1e-30)))).sum(1)


def _filled(probabilities: np.ndarray) -> np.ndarray:
    q = np.maximum(probabilities, 0)
    empty = q <= 0
    left = np.maximum(1 - q.sum(1), 1 / 512) / np.maximum(empty.sum(1), 1)
    q = np.where(empty, left[:, None], q)
    return q / q.sum(1, keepdims=True)


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
