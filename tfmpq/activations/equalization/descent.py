"""Factors of channels that make the least predicted noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from converters.rewriting.channel_scales import FIXED
from tfmpq.activations.equalization.noise_model import NoiseModel

# Step of the best uniform quantizer of a normal variable, in standard deviations (Max, "Quantizing for Minimum
# Distortion", 1960, table II), by bits; rows of 8 bits are not clipped.
_CLIPPED_STEP = {2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.0569}
_NORMAL_FOURTH = 3**0.25  # fourth root of a normal variable's fourth moment
_ROUNDS = ((6, 20), (12, 15), (24, 15))  # power that stands for the maximum, iterations with it
_FIRST, _LAST = 0.5, 0.02  # largest change of a log factor in the first and the last iteration
_PER_OCTAVE = 16  # factors there are; with few, the last bits of sums, which processors differ in, change none
_MANTISSAS = np.array([math.pow(2.0, i / _PER_OCTAVE) for i in range(_PER_OCTAVE)])
_MOST = np.log(2.0**8)  # of a log factor: float32 holds the products with room to spare


@dataclass(frozen=True, eq=False)
class Bounds:
    """(count,) smallest and largest factors of the variables."""

    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True, eq=False)
class Noise:
    """Predicted noise, relative to the signals.

    Attributes:
        activations: (scales,) of each int8 scale of the model.
        weights: (roundings,) of each layer.
        up, down: (count,) parts of its slope in the log factors: what grows with a factor, and what falls.
    """

    activations: np.ndarray
    weights: np.ndarray
    up: np.ndarray
    down: np.ndarray

    @property
    def total(self) -> float:
        """Of activations and weights together."""
        return float(self.activations.sum() + self.weights.sum())


def predicted_noise(
    model: NoiseModel, factors: np.ndarray, *, power: float = 64.0, share: float = 1.0, grids: bool = False
) -> Noise:
    """Noise for given factors.

    Args:
        model: its terms.
        factors: (count,).
        power: the maximum is taken as the norm of this power, so that it has a slope.
        share: of a layer's rounding noise that is left after error feedback and second points.
        grids: whether rows that lie on a grid lose nothing while their columns have one factor. That jumps: it is for
            decisions, not for a descent.
    """
    up, down = np.zeros(model.count), np.zeros(model.count)
    activations, weights = [], []
    for scale in model.scales:
        high, of_high = _norm(factors[scale.variables] * scale.high, power)
        low, of_low = _norm(factors[scale.variables] * -scale.low, power)
        step = (high + low) / 255
        noise = step**2 / 12 * scale.weights / factors[scale.noisy] ** 2
        total = float(noise.sum())
        activations.append(total)
        np.add.at(down, scale.noisy, 2 * noise)
        if total > 0:
            np.add.at(up, scale.variables, 2 * total * (high * of_high + low * of_low) / (high + low))
    for rounding in model.roundings:
        own = factors[rounding.variables]
        steps, shares = _steps(rounding.rows / own[:, None], rounding.bits, power)
        energies = rounding.energies * own**2
        sums = energies.sum(axis=1, keepdims=True)
        noise = share * rounding.weights * steps**2 / 12 * sums  # (G, R)
        if grids:
            noise = np.where(rounding.on_grid & (own == own[:, :1]).all(axis=1, keepdims=True), 0.0, noise)
        weights.append(float(noise.sum()))
        np.add.at(down, rounding.variables, 2 * (noise[:, :, None] * shares).sum(axis=1))
        np.add.at(up, rounding.variables, 2 * noise.sum(axis=1, keepdims=True) * energies / np.maximum(sums, 1e-300))
    return Noise(np.array(activations), np.array(weights), up, down)


def _norm(values: np.ndarray, power: float) -> tuple[float, np.ndarray]:
    """The norm of values >= 0 and the share of each in its slope."""
    largest = float(values.max(initial=0.0))
    if largest <= 0:
        return 0.0, np.zeros(len(values))
    powers = (values / largest) ** power
    total = float(powers.sum())
    return largest * total ** (1 / power), powers / total


def _steps(rows: np.ndarray, bits: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """(G, R) steps of rows (G, R, d), and (G, R, d) the share of each weight in their slope."""
    clipped = bits in _CLIPPED_STEP
    power = 4.0 if clipped else power
    largest = np.maximum(rows.max(axis=2, keepdims=True), np.finfo(np.float32).tiny)
    powers = np.square(np.square(rows / largest)) if clipped else (rows / largest) ** power
    sums = np.maximum(powers.sum(axis=2, keepdims=True), np.finfo(np.float32).tiny)
    norm = largest[..., 0] * (sums[..., 0] / (rows.shape[2] if clipped else 1)) ** (1 / power)
    step = norm * _CLIPPED_STEP[bits] / _NORMAL_FOURTH if clipped else norm / (2 ** (bits - 1) - 1)
    return step, powers / sums


def best_factors(model: NoiseModel, bounds: Bounds, *, share: float = 1.0) -> np.ndarray:
    """Factors with the least predicted noise.

    Each iteration moves every log factor by a quarter of the log ratio of what pulls it down to what pushes it up,
    which is exact where both are alone (a / f^2 + b f^2 is least at f^4 = a / b), within a bound that shrinks.

    Args:
        model: its terms.
        bounds: 1 lies within them.
        share: as for :func:`predicted_noise`.

    Returns:
        (count,), of a grid of 16 an octave; 1 where nothing is known of a variable.
    """
    log = np.zeros(model.count)
    low, high = (np.log(np.clip(b, np.exp(-_MOST), np.exp(_MOST))) for b in (bounds.lower, bounds.upper))
    total = sum(rounds for _, rounds in _ROUNDS)
    done = 0
    for power, rounds in _ROUNDS:
        for _ in range(rounds):
            bound = _FIRST * (_LAST / _FIRST) ** (done / (total - 1))
            noise = predicted_noise(model, np.exp(log), power=power, share=share)
            tiny = 1e-12 * max(noise.total, np.finfo(float).tiny)
            move = np.log((noise.down + tiny) / (noise.up + tiny)) / 4
            log = np.clip(log + np.clip(move, -bound, bound), low, high)
            log[FIXED] = 0.0
            done += 1
    return _on_grid(log, low, high)


def _on_grid(log: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The factors of the grid nearest to given ones, within bounds."""
    unit = math.log(2) / _PER_OCTAVE
    number = np.clip(np.round(log / unit), np.ceil(low / unit - 1e-9), np.floor(high / unit + 1e-9)).astype(np.int64)
    return np.ldexp(_MANTISSAS[number % _PER_OCTAVE], number // _PER_OCTAVE)
