"""The quantizer of trained ternary quantization: two learned values a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from converters.points import MultipointWeight
from tfmpq.training.quantizer import Quantizer
from tfmpq.training.row_points import one_or_two_points
from tfmpq.training.scales import LearnedScale

BITS = 2  # of the codes -1, 0, 1
PAPER_THRESHOLD = 0.05


def ternary(values: Any, positive: Any, negative: Any, threshold: Any, noise: Any | None = None) -> Any:
    """``+Wp`` above D, ``-Wn`` below -D, else 0, with D = threshold * max|w| (Zhu et al., ICLR 2017, equations 6-8).

    The gradient of Wp is the sum of the result's gradient over the upper zone, that of Wn minus the sum over the lower;
    w gets it times Wp, 1 and Wn in the upper, middle and lower zone.

    Args:
        values: float tensor w.
        positive, negative: Wp and Wn, of rank 0.
        threshold: share of the largest magnitude.
        noise: uniform in 0..1, of the values' shape: a value becomes Wp with probability w / Wp (at most 1) or -Wn
            likewise, whatever the threshold, so that the expected result is the value. None: by the threshold.
    """

    @tf.custom_gradient
    def function(values: Any, positive: Any, negative: Any) -> Any:
        if noise is None:
            limit = threshold * tf.reduce_max(tf.abs(values))
            upper, lower = values > limit, values < -limit
        else:
            upper, lower = values > noise * positive, values < -noise * negative
        zero = tf.zeros_like(values)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            factor = tf.where(upper, positive, tf.where(lower, negative, tf.ones_like(values)))
            of_positive = tf.reduce_sum(tf.where(upper, upstream, zero))
            of_negative = -tf.reduce_sum(tf.where(lower, upstream, zero))
            return upstream * factor, of_positive, of_negative

        return tf.where(upper, positive, tf.where(lower, -negative, zero)), gradient

    return function(values, positive, negative)


def least_error_share(weight: np.ndarray) -> float:
    """The threshold, as a share of the largest magnitude, at which the means of both zones leave the least error.

    That of the squared error over the whole weight, as Ternary Weight Networks choose theirs (Li et al., 2016, section
    2.2), but exactly and with a level for either sign: zones of the k largest magnitudes are tried for every k.

    Args:
        weight: float, any shape.
    """
    values = np.ravel(weight).astype(np.float64)
    values = values[np.argsort(-np.abs(values), kind="stable")]
    if not values.size or not values[0]:
        return PAPER_THRESHOLD
    # A zone of n weights with the sum S that becomes its mean takes S^2 / n from the squared error.
    gains = np.zeros(values.size)
    for zone in (values > 0, values < 0):
        gains += np.cumsum(np.where(zone, values, 0.0)) ** 2 / np.maximum(np.cumsum(zone), 1)
    last = int(gains.argmax())
    magnitudes = np.append(np.abs(values), 0.0)
    return float((magnitudes[last] + magnitudes[last + 1]) / 2 / magnitudes[0])


@keras.saving.register_keras_serializable(package="tfmpq")
class Ternary(Quantizer):
    """Weights become ``+Wp``, 0 or ``-Wn``; both are learned, and start at the mean magnitude of their zone.

    Attributes:
        threshold: share of the layer's largest magnitude below which weights become 0; None: that of the least error
            at the start, see :func:`least_error_share`.
    """

    def __init__(self, threshold: float | None = PAPER_THRESHOLD, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes Wp, Wn and the share."""
        self.share: Any = self.add_weight(shape=(), initializer="zeros", trainable=False, name="share")
        self.positive = LearnedScale(self, "positive")
        self.negative = LearnedScale(self, "negative")
        super().build(input_shape)

    def start(self, weight: np.ndarray) -> None:
        """Sets the share, Wp and Wn for a float weight."""
        self.share.assign(least_error_share(weight) if self.threshold is None else self.threshold)
        upper, lower = self._zones(weight)
        for scale, zone in ((self.positive, upper), (self.negative, lower)):
            scale.start(np.abs(weight[zone]).mean(dtype=np.float64) if zone.any() else 0.0)

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The ternary weight."""
        values = tf.cast(values, tf.float32)
        noise = self.noise(values, training)
        share = tf.convert_to_tensor(self.share)
        return ternary(values, self.positive.tensor(), self.negative.tensor(), share, noise)

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """Two points, codes 0 and 1 of scale Wp and codes 0 and -1 of scale Wn; one where that is exact.

        It is for rows without values of one sign, and for all rows where Wp = Wn.
        """
        zones = [self.rows(zone).astype(np.int8) for zone in self._zones(weight)]
        upper, lower = zones
        positive, negative = float(self.positive.value()), float(self.negative.value())
        has_upper, has_lower = (np.any(zone != 0, axis=1) for zone in zones)
        two, only_lower = has_upper & has_lower & (positive != negative), has_lower & ~has_upper
        first = np.where(two[:, None], upper, upper - lower)
        second = np.where(two[:, None], -lower, 0)
        return one_or_two_points((first, second), (np.where(only_lower, negative, positive), negative), BITS)

    def _zones(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        limit = np.asarray(self.share) * np.abs(weight).max()
        return weight > limit, weight < -limit

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        return {**super().get_config(), "threshold": self.threshold}
