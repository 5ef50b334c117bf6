"""Biases in Keras as multiples of what the file's are multiples of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmpq.keras.bias import folded_bias, norm_scale, rounded_bias


def test_biases_are_multiples_and_gradients_pass():
    bias: Any = tf.Variable(tf.constant([0.26, -0.7, 0.123]))
    with tf.GradientTape() as tape:
        found: Any = rounded_bias(tf.convert_to_tensor(bias), tf.constant([0.1, 0.25, 0.0]))
        loss = tf.reduce_sum(found)
    np.testing.assert_allclose(found, [0.3, -0.75, 0.123], rtol=1e-6)  # of dead rows nothing is rounded
    gradient: Any = tape.gradient(loss, bias)
    np.testing.assert_array_equal(gradient, np.ones(3))


def test_what_a_normalization_adds_and_multiplies():
    generator = np.random.default_rng(0)
    kind: Any = keras.layers.BatchNormalization
    for norm in (kind(), kind(scale=False), kind(center=False)):
        norm.build((None, 5))
        for variable in norm.variables:
            variable.assign(generator.uniform(-2, 2, 5))
        norm.moving_variance.assign(generator.uniform(0.5, 2, 5))
        bias = generator.normal(size=5).astype(np.float32)
        for own in (None, bias):
            zero = np.zeros((1, 5), np.float32) if own is None else own[None]
            np.testing.assert_allclose(folded_bias(norm, own), norm(zero)[0], rtol=1e-4, atol=1e-6)
        slope = np.asarray(norm(np.ones((1, 5), "f"))) - np.asarray(norm(np.zeros((1, 5), "f")))
        np.testing.assert_allclose(norm_scale(norm), np.abs(slope[0]), rtol=1e-4)
