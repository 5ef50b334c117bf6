"""How far class probabilities are from those of another file.

What outputs are is seen from the reference's: values of 0 to 1 are probabilities, and never go through another softmax,
which would hide nearly all of a difference. They are shares of classes where they add up to about 1 (int8 shares of
many classes miss it, each by up to half a step), else yes or no class by class, as sigmoids give them. All else are
scores.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np

_ROUNDING = 1e-3  # by how much a float probability may exceed 1
_HALF = 1 / 512  # half a step of int8 probabilities
_EVEN, _MOST = 1e-2, 0.25  # by how much sums may miss 1 on average: exact shares, and int8 ones of many classes


def divergence(reference: np.ndarray, outputs: np.ndarray) -> float:
    """Mean KL divergence of the class probabilities from the reference's, in nats.

    Args:
        reference: outputs of the float model (samples, classes); a softmax is applied unless they are probabilities. Of
            those that do not add up to 1, it is the sum over classes, each yes or no.
        outputs: of the file. int8 probabilities end at 1/256: classes at 0 that have a share in the reference get what
            the others leave of 1, half a step at least. Outputs have no divergence from themselves.
    """
    divergences = Divergences()
    divergences.add(reference, outputs)
    return float(divergences.values().mean())


@dataclass(frozen=True)
class DivergenceSums:
    """Sums over samples, for each of what the reference's outputs may be; those of further samples are added.

    Attributes:
        probabilities: whether all of them were from 0 to 1.
        missing, allowed: by how much they missed a sum of 1, and how much of that int8 shares may.
        of_scores, of_shares, of_each: divergences in nats.
        count: samples.
    """

    probabilities: bool
    missing: float
    allowed: float
    of_scores: float
    of_shares: float
    of_each: float
    count: int

    def __add__(self, other: DivergenceSums) -> DivergenceSums:
        """The sums over both."""
        return DivergenceSums(
            self.probabilities and other.probabilities,
            self.missing + other.missing,
            self.allowed + other.allowed,
            self.of_scores + other.of_scores,
            self.of_shares + other.of_shares,
            self.of_each + other.of_each,
            self.count + other.count,
        )

    def mean(self) -> float | None:
        """Mean divergence; None: there were no scores."""
        if not self.count:
            return None
        shares = self.of_shares if self.missing <= self.allowed else self.of_each
        return (shares if self.probabilities else self.of_scores) / self.count


class Divergences:
    """The divergence of every sample, some samples at a time; three numbers a sample are kept at most.

    What the reference's outputs are is known once all of them were seen.
    """

    def __init__(self) -> None:
        self._probabilities = True
        self._missing, self._allowed = 0.0, 0.0  # sums over samples
        self._of_scores, self._of_shares, self._of_each = array("d"), array("d"), array("d")

    def add(self, reference: np.ndarray, outputs: np.ndarray) -> None:
        """Further samples; see :func:`divergence`."""
        wide, found = reference.astype(np.float64), outputs.astype(np.float64)
        self._probabilities = self._probabilities and bool(wide.min() >= 0 and wide.max() <= 1 + _ROUNDING)
        with np.errstate(invalid="ignore", over="ignore"):  # of infinite scores, whose divergence is no number
            self._of_scores.extend(_divergences(_softmax(wide), _softmax(found)))
            if self._probabilities:
                self._of_shares.extend(_divergences(wide, found))
                self._of_each.extend(_divergences(_yes_and_no(wide), _yes_and_no(found)).sum(-1))
        self._missing += float(np.abs(wide.sum(1) - 1).sum())
        self._allowed += len(wide) * (_EVEN + min(wide.shape[1] * _HALF, _MOST))

    def sums(self) -> DivergenceSums:
        """Over the samples so far."""
        scores, shares, each = (math.fsum(values) for values in (self._of_scores, self._of_shares, self._of_each))
        return DivergenceSums(
            self._probabilities, self._missing, self._allowed, scores, shares, each, len(self._of_scores)
        )

    def values(self) -> np.ndarray:
        """In nats, (samples,), in the order they came."""
        if not self._probabilities:
            return np.array(self._of_scores)
        return np.array(self._of_shares if self._missing <= self._allowed else self._of_each)


def _divergences(reference: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Along the last axis, of what adds up to about 1."""
    p, q = np.maximum(reference, 0), np.maximum(outputs, 0)
    empty = (q <= 0) & (p > 0)
    left = np.maximum(1 - q.sum(-1), _HALF) / np.maximum(empty.sum(-1), 1)
    p, q = _normalized(p), _normalized(np.where(empty, left[..., None], q))
    return (p * (np.log(np.maximum(p, 1e-30)) - np.log(np.maximum(q, 1e-30)))).sum(-1)


def _normalized(shares: np.ndarray) -> np.ndarray:
    """With a sum of 1; all alike where int8 has lost every one of them."""
    sums = shares.sum(-1, keepdims=True)
    return np.where(sums == 0, 1 / shares.shape[-1], shares / np.where(sums == 0, 1, sums))


def _yes_and_no(probabilities: np.ndarray) -> np.ndarray:
    yes = np.clip(probabilities, 0, 1)
    return np.stack([yes, 1 - yes], -1)


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
