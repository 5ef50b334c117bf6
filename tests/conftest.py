"""Tiny models that several test modules share, built and converted once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before anything imports TensorFlow

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # the first example pays for imports, and machines are busy
settings.load_profile("no deadline")

# Makes the given top-level packages impossible to import, as on a machine that does not have them.
BLOCK_IMPORTS = """
import importlib.abc, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""
IMAGE_SHAPE = (8, 8, 3)
CLASSES = 10
_MANY_OBJECTS = 200_000  # the imports of TensorFlow and Keras alone are more


@pytest.fixture(scope="module", autouse=True)
def _what_stays_is_no_garbage() -> Iterator[None]:
    """Each conversion by TensorFlow collects garbage: to look through all that stays takes a fifth of its time."""
    yield
    if len(gc.get_objects(generation=2)) > _MANY_OBJECTS:
        gc.collect()
        gc.freeze()


@pytest.fixture
def only_keras_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras without the classes that test modules have registered: with classes of the caller nothing is cached."""
    import keras

    for package in (keras, sys.modules.get("tf_keras")):
        registry = {} if package is None else package.saving.get_custom_objects()
        for name, entry in list(registry.items()):
            if entry.__module__.partition(".")[0] == "tests":
                monkeypatch.delitem(registry, name)


@pytest.fixture(scope="session")
def conv_net() -> Any:
    """A Keras 3 classifier with a full, a depthwise and a 1x1 convolution and a dense layer."""
    import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE, name="image"),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="stem"),
            keras.layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise"),
            keras.layers.Conv2D(16, 1, activation="relu6", name="project"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dense(CLASSES, name="classifier"),
        ],
        name="conv_net",
    )


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """64 images for :func:`conv_net`, values in -1..1."""
    return np.random.default_rng(1).uniform(-1, 1, (64, *IMAGE_SHAPE)).astype(np.float32)


@pytest.fixture(scope="session")
def to_tflite(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Stock conversion of a Keras model (batch size 1) or tf.Module: float, or full int8 if samples are given."""

    def convert(model: Any, samples: list[dict[str, np.ndarray]] | None = None, **save_options: Any) -> bytes:
        import keras
        import tensorflow as tf

        path = str(tmp_path_factory.mktemp("saved_model"))
        if isinstance(model, keras.Model):
            specs = [keras.InputSpec(shape=(1, *x.shape[1:]), dtype=x.dtype, name=x.name) for x in model.inputs]
            model.export(path, verbose=False, input_signature=specs)
        else:
            tf.saved_model.save(model, path, **save_options)
        converter = tf.lite.TFLiteConverter.from_saved_model(path)
        if samples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: iter(samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        with warnings.catch_warnings():  # "Statistics for quantized inputs were expected": it looks for float inputs
            warnings.simplefilter("ignore", UserWarning)
            return converter.convert()

    return convert


@pytest.fixture(scope="session")
def conv_net_float(conv_net: Any, to_tflite: Callable[..., bytes]) -> bytes:
    """Float .tflite of :func:`conv_net`; its input is called ``image``."""
    return to_tflite(conv_net)


@pytest.fixture(scope="session")
def conv_net_int8(conv_net: Any, images: np.ndarray, to_tflite: Callable[..., bytes]) -> bytes:
    """Stock full-int8 .tflite of :func:`conv_net`."""
    return to_tflite(conv_net, [{"image": image[None]} for image in images[:16]])


@pytest.fixture(scope="session")
def conv_net_path(conv_net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """:func:`conv_net` as a .keras file."""
    path = tmp_path_factory.mktemp("keras") / "conv_net.keras"
    with warnings.catch_warnings():  # Keras's own use of NumPy
        warnings.simplefilter("ignore", DeprecationWarning)
        conv_net.save(path)
    return path


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code in a new interpreter, ``blocked`` packages not being installed there; arguments are in sys.argv."""

    def run(code: str, *arguments: object, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        program = BLOCK_IMPORTS.format(blocked=set(blocked)) + textwrap.dedent(code)
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process -> exit code, stdout, stderr."""
    from tfmpq import cli

    def run_command(*arguments: object) -> tuple[int, str, str]:
        code = cli.run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run_command
