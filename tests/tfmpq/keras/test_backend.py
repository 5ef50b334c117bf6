"""Keras 3 as it is set up in a process: backends, and Keras 2 beside it."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]

IMPORT = """
    import os
    os.environ["KERAS_BACKEND"] = {backend!r}
    import tfmpq
    try:
        import tfmpq.keras
    except tfmpq.ConversionError as error:
        print(type(error).__name__, isinstance(error, ImportError), error)
"""


def test_another_backend_is_refused(run_python: Run):
    code = """
        import keras
        keras.config.backend = lambda: "jax"  # as where JAX is installed
        import tfmpq
        try:
            import tfmpq.keras
        except tfmpq.ConversionError as error:
            print(type(error).__name__, isinstance(error, ImportError), error)
    """
    result = run_python(code)
    assert result.stdout.startswith("MissingDependencyError True "), result.stderr
    assert "runs on 'jax'" in result.stdout
    assert "KERAS_BACKEND=tensorflow" in result.stdout


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_backend_that_is_not_installed_is_named(backend: str, run_python: Run):
    printed = run_python(IMPORT.format(backend=backend), blocked=(backend,)).stdout
    assert f"No module named '{backend}'" in printed
    assert "KERAS_BACKEND=tensorflow" in printed


def test_no_keras_at_all(run_python: Run):
    printed = run_python(IMPORT.format(backend="tensorflow"), blocked=("keras",)).stdout
    assert "keras cannot be imported" in printed


@pytest.mark.slow
@pytest.mark.nightly  # by day: test_load.py converts models of both generations beside that setting
def test_keras_2_does_not_get_in_the_way(run_python: Run):
    """What importing tfmot sets for the whole process: tf.keras is tf_keras then, and keras stays Keras 3."""
    code = """
        import os
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        import keras
        import numpy as np
        import tensorflow as tf
        import tfmpq
        from tfmpq.keras import SimulationSettings, annotate, simulate

        try:
            annotate(tf.keras.layers.Dense(2), SimulationSettings())
        except tfmpq.ConversionError as error:
            print(error)
        x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
        simulated = simulate(annotate(model, SimulationSettings(bits=3)), x)
        simulated.compile("adam", "mse")
        simulated.fit(x, x[:, :1], epochs=2, verbose=0)
        print(tfmpq.convert(simulated, x, progress=False).tflite_model[4:8])
    """
    result = run_python(code)
    assert "TF_USE_LEGACY_KERAS is set, so tf.keras means tf_keras" in result.stdout, result.stderr
    assert "b'TFL3'" in result.stdout, result.stderr
