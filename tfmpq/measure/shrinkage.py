"""Shrinkage of covariances: how far the covariance of few samples can be trusted, and what to mix into it.

A layer that reads one position an image knows its inputs from as many points as there are images, often fewer than it
has columns. Rounding by the plain covariance then hides its error in directions that these images happen not to show.
A convex combination with a simpler target, of the weight that minimizes the expected squared Frobenius distance from
the true covariance, repairs that.

Source: Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, section 3.3. There
the terms of the mean are single observations; here a term is the mean over one sample's positions, because positions
of one image resemble each other and count for less than so many images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_ROUNDING = 1e-10  # of the largest variance: float32 sums of an input that never changes stay far below


class Scatter:
    """Running sums over samples that tell how much their second moments scatter about their common mean.

    Moments come about some fixed point, because the mean is known only at the end.

    Args:
        groups, columns: G and d of the moments.
    """

    def __init__(self, groups: int, columns: int) -> None:
        self._norm = np.zeros(groups)
        self._pull = np.zeros((groups, columns))
        self._length = np.zeros(groups)
        self._count = 0

    def add(self, square: np.ndarray, total: np.ndarray, count: int, start: int = 0) -> None:
        """Adds one sample, or some rows of its moment; the first of them come first.

        Args:
            square: (G, rows, d), sum of x x^T over its positions, from row ``start`` on.
            total: (G, d), sum of x.
            count: positions.
            start: first row.
        """
        mean = total / count
        self._norm += np.einsum("gij,gij->g", square, square) / count**2
        self._pull[:, start : start + square.shape[1]] += np.einsum("gij,gj->gi", square, mean) / count
        if start == 0:
            self._length += np.einsum("gi,gi->g", mean, mean)
            self._count += 1

    def state(self) -> dict[str, np.ndarray]:
        """The sums, by name."""
        return {"norm": self._norm, "pull": self._pull, "length": self._length, "count": np.array(self._count)}

    def add_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Adds the sums of other samples, about the same point."""
        self._norm += state["norm"]
        self._pull += state["pull"]
        self._length += state["length"]
        self._count += int(state["count"])

    def variance(self, moment: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Expected squared Frobenius distance of the covariance from the true one, (G,).

        Args:
            moment, mean: of all samples, about the same point.
        """
        count = self._count
        if count < 2:
            return np.zeros(len(mean))
        # |M - m o^T - o m^T + o o^T|^2 of each sample's M and m about the mean o, summed. Of (m^T o)^2 only o^T M o is
        # known, which is the same for samples of one position, and not much more where an image's mean is most of it.
        length = np.einsum("gi,gi->g", mean, mean)
        along = np.einsum("gi,gij,gj->g", mean, moment, mean)
        norms = (
            self._norm
            - 4 * np.einsum("gi,gi->g", mean, self._pull)
            + 4 * count * along
            + 2 * length * self._length
            - 3 * count * length**2
        )
        centred = np.einsum("gij,gij->g", moment, moment) - 2 * along + length**2
        return np.maximum(norms - count * centred, 0.0) / (count * (count - 1))


def shrink(
    covariance: np.ndarray, variance: np.ndarray, target: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The convex combination of a covariance and a target that is expected to be nearest the truth.

    Args:
        covariance: (G, d, d), of the samples; it is overwritten.
        variance: (G,), expected squared distance of it from the truth.
        target: (G, d, d), another guess, scaled here to the covariance's trace; None: the identity on the inputs
            that changed at all. (The covariance's own diagonal is no better: the MobileNets' KL is 1 % larger.)

    Returns:
        The combination, and the target's share in it, (G,).
    """
    diagonal = np.einsum("gii->gi", covariance).copy()
    if target is None:
        changed = diagonal > _ROUNDING * diagonal.max(axis=1, keepdims=True)
        count = changed.sum(axis=1)
        scale = diagonal.sum(axis=1) / np.maximum(count, 1)
        along = np.where(changed, diagonal, 0.0).sum(axis=1)
        square = np.einsum("gij,gij->g", covariance, covariance)
        share = _share(np.maximum(square - 2 * scale * along + scale**2 * count, 0.0), variance)
        covariance *= (1 - share)[:, None, None]
        np.einsum("gii->gi", covariance)[...] += (share * scale)[:, None] * changed
        return covariance, share
    own = np.einsum("gii->g", target)
    scaled = target * (diagonal.sum(axis=1) / np.where(own > 0, own, 1.0))[:, None, None]
    scaled -= covariance
    share = _share(np.einsum("gij,gij->g", scaled, scaled), variance)
    scaled *= share[:, None, None]
    covariance += scaled
    return covariance, share


def _share(distance: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The target's share (G,), given its squared distance from the covariance and the covariance's from the truth."""
    return np.where(distance > variance, variance / np.where(distance > 0, distance, 1.0), (variance > 0) * 1.0)


def towards_mean(values: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Estimates of like things drawn towards their mean, by the part of their spread that is their own uncertainty.

    Without it the few channels that the samples happen to ask for (the classes they show) get all the weight.

    Source: James, Stein, "Estimation with quadratic loss", 1961, with unknown variances estimated (empirical Bayes).

    Args:
        values: (n,).
        variances: (n,), squared standard error of each, or one 0 where it is not known.
    """
    spread = float(values.var())
    real = max(0.0, 1 - float(variances.mean()) / spread) if spread > 0 else 1.0
    return values.mean() + real * (values - values.mean())
