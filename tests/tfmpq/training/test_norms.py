"""Normalizations that stay as they are in training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.support.keras_nets import data, separable
from tfmpq.errors import ModelError
from tfmpq.training import freeze_norms, lg_lsq


def test_frozen_norms_compute_as_in_inference_and_do_not_change():
    model = separable()
    x = data(model)
    student = lg_lsq(model, x, asr=False, start="magnitudes")
    assert freeze_norms(student) == 3  # all of them are part of a layer here
    np.testing.assert_array_equal(student(x, training=True), student(x, training=False))
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    before = {v.path: np.asarray(v) for v in student.variables if v.name in names}
    student.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    student.fit(x, np.zeros((len(x), 4)), verbose=0)
    assert len(before) == 12
    for variable in student.variables:
        if variable.path in before:
            np.testing.assert_array_equal(variable, before[variable.path])


def test_norms_that_stand_alone_are_frozen_too():
    image = keras.Input((4, 4, 2))
    x = keras.layers.BatchNormalization(name="alone")(keras.layers.ReLU()(image))
    model = keras.Model(image, x)
    assert freeze_norms(model) == 1
    assert not model.get_layer("alone").trainable


def test_a_compiled_model_is_refused():
    model = separable()
    model.compile("adam", "mse")
    with pytest.raises(ModelError, match="is compiled already"):
        freeze_norms(model)
