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


def ternary(values: Any, positive: Any, negative: Any, threshold: float, noise: Any | None = None) -> Any:
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


@keras.saving.register_keras_serializable(package="tfmpq")
class Ternary(Quantizer):
    """Weights become ``+Wp``, 0 or ``-Wn``; both are learned, and start at the mean magnitude of their zone.

    Attributes:
        threshold: share of the layer's largest magnitude below which weights become 0.
    """

    def __init__(self, threshold: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes Wp and Wn."""
        self.positive = LearnedScale(self, "positive")
        self.negative = LearnedScale(self, "negative")
        super().build(input_shape)

    def start(self, weight: np.ndarray) -> None:
        """Sets Wp and Wn for a float weight."""
        upper, lower = self._zones(weight)
        for scale, zone in ((self.positive, upper), (self.negative, lower)):
            scale.start(np.abs(weight[zone]).mean(dtype=np.float64) if zone.any() else 0.0)

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The ternary weight."""
        values = tf.cast(values, tf.float32)
        noise = self.noise(values, training)
        return ternary(values, self.positive.tensor(), self.negative.tensor(), self.threshold, noise)

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
        limit = np.float32(self.threshold) * np.abs(weight).max()
        return weight > limit, weight < -limit

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        return {**super().get_config(), "threshold": self.threshold}
