"""AdaRound: every weight is rounded up or down as suits the layer's outputs, found by gradient descent.

Source: Nagel, Amjad, van Baalen, Louizos, Blankevoort, "Up or down? Adaptive rounding for post-training quantization",
ICML 2020 (arXiv 2004.10568), sections 3.2 to 3.4, from its public description. A weight is s (floor(w / s) + h(v)) with
the rectified sigmoid h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1). Adam minimizes the squared error of the layer's outputs,
behind its activation function, plus sum(1 - |2 h - 1|^b), whose exponent b falls from 20 to 2 over the run after a
start without it, so that all h end at 0 or 1. Scales minimize the squared error of the weights and stay.

Departures: scales are a channel's own; the layer's inputs are those of the float network; batches are positions drawn
from those of all images; the output error is taken in units of what rounding to nearest makes of a row, so that
neither the size of weights nor of inputs counts; a row keeps its nearest codes where they are better on all positions.
Without samples, positions that have the same second moment stand for them, and there is no activation function.

Batches are drawn by a seed that is part of the method. Sums are float32: other processors may round other weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfmpq.algorithms.blocks import join, split
from tfmpq.algorithms.lapq import norm_scale
from tfmpq.algorithms.problem import Candidate, Problem
from tfmpq.algorithms.residuals import quantize_residuals, symmetric_limit

# Of a MobileNet's layers all but .1 % of the weights are at 0 or 1 then, and 10,000 change the error by less than 2 %.
# At the paper's rate, .001, a third of them are not there after 10,000.
ITERATIONS = 4000
_RATE = np.float32(1e-2)  # of Adam
_DECAY = np.float32(0.9), np.float32(0.999)
_BATCH = 32  # positions
_START = 0.2  # of the iterations, before which there is no regularizer
_POWERS = 20.0, 2.0  # of it
_STRETCH, _BELOW = np.float32(1.2), np.float32(0.1)  # of the rectified sigmoid
_INSIDE = 1e-3  # of 0 and 1 that h starts from: there is no slope at them
_ROWS = 64  # optimized together: what they need stays in a core's cache
_SQUARES = 2.0  # of the weights' error, which scales minimize
_SEED = 0


@dataclass(frozen=True, eq=False)
class _Positions:
    """What one group of rows reads.

    Attributes:
        inputs: float32 (P, d), scaled so that the mean of their squared length is 1.
        length: root of the mean of their own.
        bias: float64 (R,).
        low, high: what the activation function clips at.
    """

    inputs: np.ndarray
    length: float
    bias: np.ndarray
    low: float
    high: float


def quantize_adaround(problem: Problem, max_points: int) -> list[Candidate]:
    """Rows with 1..max_points points, each rounded up or down as suits the outputs with those before it."""
    limit = symmetric_limit(problem.bits)
    positions = _positions(problem)

    def fit(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        groups, _, columns = residual.shape
        scale = norm_scale(residual, limit, problem.scale_floor, _SQUARES)
        count = len(positions) or groups
        steps, whole = split(residual / scale[..., None], count), split(problem.weight / scale[..., None], count)
        codes = np.clip(np.rint(steps), -limit, limit)
        for group, known in enumerate(positions):
            rows = scale[min(group, groups - 1)]
            codes[group] = _adapted(steps[group], whole[group], codes[group], rows, known, limit)
        return join(codes, groups, columns), scale

    return quantize_residuals(problem, max_points, fit)


def _positions(problem: Problem) -> list[_Positions]:
    """Of each group, or block of columns; none where columns count by themselves, which the nearest codes suit best."""
    samples, (groups, rows, _) = problem.evidence.samples, problem.weight.shape
    if samples is not None:
        bias = samples.bias.reshape(groups, rows)
        return [_scaled(x, b, samples.low, samples.high) for x, b in zip(samples.inputs, bias, strict=True)]
    if problem.moment.ndim == 2:
        return []
    # Rows of H^(1/2), times the root of their number, have the second moment H.
    values, vectors = np.linalg.eigh(problem.moment)
    roots = np.sqrt(len(values[0]) * np.maximum(values, 0.0))[:, :, None] * np.swapaxes(vectors, 1, 2)
    return [_scaled(x, np.zeros(rows), -np.inf, np.inf) for x in roots]


def _scaled(inputs: np.ndarray, bias: np.ndarray, low: float, high: float) -> _Positions:
    length = float(np.sqrt(np.square(inputs, dtype=np.float64).sum(axis=1).mean()))
    return _Positions((inputs / (length or 1.0)).astype(np.float32), length, bias, low, high)


def _adapted(
    steps: np.ndarray, whole: np.ndarray, nearest: np.ndarray, scale: np.ndarray, known: _Positions, limit: int
) -> np.ndarray:
    """Codes (R, d) of a group's rows, some rows at a time.

    Args:
        steps: (R, d) what is to be rounded, in units of the scale.
        whole: (R, d) the weights, of which earlier points have what is missing in ``steps``; in the same units.
        nearest: (R, d) codes to start from.
        scale: (R,).
        known: what the rows read.
        limit: codes lie in -limit..limit.
    """
    codes = nearest.copy()
    if not known.length:
        return codes
    for start in range(0, len(steps), _ROWS):
        part = slice(start, start + _ROWS)
        unit = scale[part] * known.length  # of outputs: all in it, so that scales of weights and inputs drop out
        outputs = known.inputs @ whole[part].T.astype(np.float32) + (known.bias[part] / unit).astype(np.float32)
        rows = _Rows(
            steps[part].astype(np.float32),
            np.floor(steps[part]).astype(np.float32),
            nearest[part].astype(np.float32),
            outputs,
            (known.low / unit).astype(np.float32),
            (known.high / unit).astype(np.float32),
        )
        found = rows.descend(known.inputs, limit)
        better = rows.error(found, known.inputs) < rows.error(nearest[part], known.inputs)
        codes[part] = np.where(better[:, None], found, nearest[part])
    return codes


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows and their outputs, in units of a step; float32.

    Attributes:
        steps: (R, d) what is to be rounded.
        base: (R, d) that, rounded down.
        nearest: (R, d) nearest codes.
        outputs: (P, R) before the activation function, as they should be.
        low, high: (R,) what that clips at.
    """

    steps: np.ndarray
    base: np.ndarray
    nearest: np.ndarray
    outputs: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def error(self, codes: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """(R,) mean squared error behind the activation function."""
        got = self.outputs - inputs @ (self.steps - codes.astype(np.float32)).T
        left = np.clip(self.outputs, self.low, self.high) - np.clip(got, self.low, self.high)
        return np.square(left).mean(axis=0)

    def descend(self, inputs: np.ndarray, limit: int) -> np.ndarray:
        """Codes (R, d) that gradient descent finds."""
        free = (self.base >= -limit) & (self.base < limit)
        rest = self.steps - self.base
        clipped = np.where(free, np.float32(0.0), self.steps - self.nearest)
        share = (np.clip(rest, _INSIDE, 1 - _INSIDE) + _BELOW) / _STRETCH
        v = np.log(share / (1 - share)).astype(np.float32)
        adam, batches = _Adam.of(v), np.random.default_rng(_SEED)
        factor = np.float32(-2.0 * self.steps.shape[1] / _BATCH)  # a weight's part of the error is about 1 / d
        for number in range(ITERATIONS):
            chosen = batches.integers(0, len(inputs), _BATCH)
            sigmoid = 1 / (1 + np.exp(-v))
            h = sigmoid * _STRETCH
            h -= _BELOW
            slope = sigmoid * (1 - sigmoid)
            slope *= (h > 0) & (h < 1) & free
            np.clip(h, 0, 1, out=h)
            x, wanted = inputs[chosen], self.outputs[chosen]
            got = wanted - x @ np.where(free, rest - h, clipped).T
            left = np.clip(wanted, self.low, self.high) - np.clip(got, self.low, self.high)
            left *= (got > self.low) & (got < self.high)
            gradient = left.T @ x
            gradient *= factor
            power = _power(number / ITERATIONS)
            if power is not None:
                h *= 2
                h -= 1
                gradient -= np.float32(2 * power) * np.sign(h) * np.abs(h) ** np.float32(power - 1)
            gradient *= slope
            gradient *= _STRETCH
            v -= adam.step(gradient)
        return np.where(free, self.base + (v >= 0), self.nearest)


def _power(done: float) -> float | None:
    """The regularizer's exponent, falling as a half wave of a cosine, after a share of the run; None: not yet."""
    if done < _START:
        return None
    first, last = _POWERS
    return last + (first - last) * (1 + np.cos(np.pi * (done - _START) / (1 - _START))) / 2


@dataclass
class _Adam:
    """Adam (Kingma and Ba, 2015): running means of gradients and of their squares."""

    mean: np.ndarray
    square: np.ndarray
    count: int = 0

    @classmethod
    def of(cls, values: np.ndarray) -> _Adam:
        return cls(np.zeros_like(values), np.zeros_like(values))

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """What to subtract; overwrites the gradient."""
        first, second = _DECAY
        self.count += 1
        self.mean *= first
        self.mean += (1 - first) * gradient
        self.square *= second
        np.square(gradient, out=gradient)
        gradient *= 1 - second
        self.square += gradient
        root = np.sqrt(self.square / np.float32(1 - float(second) ** self.count))
        root += np.float32(1e-8)
        return self.mean * np.float32(_RATE / (1 - float(first) ** self.count)) / root
