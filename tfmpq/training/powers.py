"""The quantizer of incremental network quantization: weights are frozen, part by part, at powers of two."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from converters.points import MultipointWeight
from tfmpq.training.quantizer import Quantizer
from tfmpq.training.row_points import one_or_two_points

MOST_BITS = 5
_OCTAVES = 4  # of one point: codes 1, 2, 4, 8
_HALF = 2**_OCTAVES
_LOWER = 3  # octaves that the largest level is lowered by at most: the largest of many normal weights is 4 to 5 sigma


def octaves(bits: int) -> int:
    """How many powers of two weights of ``bits`` bits have beside zero, with either sign: 2^(b-1) / 2."""
    return 2 ** (bits - 2)


def code_bits(bits: int) -> int:
    """Bits of the points: codes up to 1, 2 or 8 with either sign."""
    return {2: 2, 3: 3}.get(bits, 5)


@keras.saving.register_keras_serializable(package="tfmpq")
class PowersOfTwo(Quantizer):
    """Frozen weights are 0 or +-2^n2 .. +-2^n1; the others are float (Zhou et al., ICLR 2017, sections 2.1 and 2.2).

    ``n1 = floor(log2(4 max|W| / 3))`` of the float weight at the start, or of each of its rows, and
    ``n2 = n1 + 1 - 2^(b-1) / 2``. With ``least_error`` n1 is that or a lower one, where the rounded weight has the
    least squared error: the fewer levels, the more are those of the largest weights too coarse for all others.

    A magnitude between neighbouring levels alpha < beta becomes beta from (alpha + beta) / 2 on; with stochastic
    rounding with the probability (|w| - alpha) / (beta - alpha), drawn when it is frozen.

    Attributes:
        bits: 2..5.
        portions: shares of the weights that are frozen one after the other, by
            :func:`tfmpq.training.callbacks`; growing, the last one 1.
        per_channel: whether each row has its own n1, or the layer.
        least_error: whether n1 may be lower than the paper's.
    """

    def __init__(
        self,
        bits: int,
        *,
        portions: Sequence[float],
        per_channel: bool = False,
        least_error: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.least_error = least_error
        self.per_channel = per_channel
        self.bits = bits
        self.portions = tuple(portions)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the variables for a weight of this shape."""
        self.levels: Any = self.add_weight(shape=input_shape, initializer="zeros", trainable=False, name="levels")
        self.frozen: Any = self.add_weight(shape=input_shape, initializer="zeros", trainable=False, name="frozen")
        self._rows_shape = self.rows_shape(input_shape)
        rows = (prod(self._rows_shape),)
        self.top: Any = self.add_weight(shape=rows, dtype="int32", initializer="zeros", trainable=False, name="top")
        super().build(input_shape)

    def start(self, weight: np.ndarray) -> None:
        """Sets the largest levels for a float weight; nothing is frozen."""
        largest = np.abs(self.rows(weight)).max(axis=1)
        if not self.per_channel:
            largest = np.full_like(largest, largest.max())
        self.top.assign(np.where(largest > 0, _exponents(largest), 0))
        if self.least_error:
            self.top.assign(self._best_top(weight))
        self.frozen.assign(np.zeros(weight.shape))

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The weight, frozen where it is; gradients go to the rest."""
        frozen = tf.convert_to_tensor(self.frozen) > 0
        return tf.where(frozen, tf.convert_to_tensor(self.levels), tf.cast(values, tf.float32))

    def freeze(self, weight: np.ndarray, share: float) -> None:
        """Freezes the largest of the weights that are still float, up to a share of all; the others stay as they are.

        Args:
            weight: the layer's float weight.
            share: of all weights, frozen afterwards.
        """
        frozen = np.asarray(self.frozen) > 0
        more = round(share * weight.size) - int(frozen.sum())
        if more <= 0:
            return
        magnitudes = np.where(frozen, -1.0, np.abs(weight)).ravel()
        chosen = np.zeros(weight.size, bool)
        chosen[np.argsort(-magnitudes, kind="stable")[:more]] = True
        chosen = chosen.reshape(weight.shape)
        noise = None
        if self.rounding == "stochastic":
            noise = np.random.default_rng([self.seed, int(frozen.sum())]).random(weight.shape)
        self.levels.assign(np.where(chosen, self._rounded(weight, noise), np.asarray(self.levels)))
        self.frozen.assign((frozen | chosen).astype(np.float32))

    def share_frozen(self) -> float:
        """Which share of the weights is frozen."""
        return float(np.mean(np.asarray(self.frozen)))

    def unfinished(self) -> str:
        """That weights are still float."""
        share = self.share_frozen()
        return "" if share == 1 else f"only {share:.0%} of its weights are frozen at powers of two"

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """One point a row up to 4 bits, whose codes are powers of two; up to two points at 5 bits.

        Their scales are 2^n2 and, for the upper four octaves of 5 bits, 2^(n2 + 4). What is not frozen is rounded.
        """
        frozen = np.asarray(self.frozen) > 0
        levels = self.rows(np.where(frozen, np.asarray(self.levels), self._rounded(weight, None)))
        scale = 2.0 ** (np.asarray(self.top) + 1 - octaves(self.bits))
        codes = np.rint(levels.astype(np.float64) / scale[:, None])
        high = np.where(np.abs(codes) >= _HALF, codes / _HALF, 0) if octaves(self.bits) > _OCTAVES else 0 * codes
        low = np.where(high == 0, codes, 0)
        with_high = np.any(high != 0, axis=1)
        two = with_high & np.any(low != 0, axis=1)
        codes = np.where(with_high[:, None], high, low), np.where(two[:, None], low, 0)
        return one_or_two_points(codes, (np.where(with_high, scale * _HALF, scale), scale), code_bits(self.bits))

    def _rounded(self, weight: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Levels of a weight, float32; ``noise`` uniform in 0..1 for stochastic rounding."""
        top = np.asarray(self.top).reshape(self._rows_shape)
        bottom = top + 1 - octaves(self.bits)
        magnitudes, smallest = np.abs(weight).astype(np.float64), 2.0**bottom
        if noise is None:
            exponents = _exponents(np.maximum(magnitudes, smallest / 4))
            small = magnitudes < smallest / 2
        else:
            # From the level below to the one above with the probability of the distance, from 0 below the smallest.
            mantissas, exponents = np.frexp(np.maximum(magnitudes, smallest))
            exponents = exponents - 1 + (noise < 2 * mantissas - 1)
            small = (magnitudes < smallest) & (noise >= magnitudes / smallest)
        clipped = np.clip(exponents, bottom, top)
        return np.where(small, 0.0, np.sign(weight) * 2.0**clipped).astype(np.float32)

    def _best_top(self, weight: np.ndarray) -> np.ndarray:
        """(C,) the largest exponents, as they are or lower, of the least squared error."""
        tops = np.asarray(self.top) - np.arange(_LOWER + 1)[:, None]
        errors = []
        for top in tops:
            self.top.assign(top)
            found = np.square(self.rows(self._rounded(weight, None) - weight).astype(np.float64)).sum(axis=1)
            errors.append(found if self.per_channel else np.full(len(found), found.sum()))
        return np.take_along_axis(tops, np.argmin(errors, axis=0)[None], axis=0)[0]

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        return {
            **super().get_config(),
            "bits": self.bits,
            "portions": list(self.portions),
            "per_channel": self.per_channel,
            "least_error": self.least_error,
        }


def _exponents(magnitudes: np.ndarray) -> np.ndarray:
    """``floor(log2(4 m / 3))``, exactly: of the power of two that 3/4 of it up to 3/2 of it are nearest to."""
    mantissas, exponents = np.frexp(np.asarray(magnitudes, np.float64))  # m = mantissa * 2^e, mantissa in 1/2..1
    return np.where(mantissas >= 0.75, exponents, exponents - 1)
