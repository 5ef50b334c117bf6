"""A stock file that aborts is an error with a place, not the end of the process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend.first_run import check_stock
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.tflite.file import File

keras = pytest.importorskip("keras")


def stock_of(model: Any, data: np.ndarray) -> File:
    feeds = [{"x": row[None]} for row in data]
    return File.parse(int8_twin(load_model(model), lambda: iter(feeds)))


def net(channels: int) -> Any:
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 7, channels), name="x")
    y = keras.layers.Conv2D(8, 3)(keras.layers.LayerNormalization(name="normalize")(x))
    return keras.Model(x, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(y)))


def test_a_normalization_of_one_channel_is_named():
    # Its values equal their mean, so that the range of the difference is zero: the kernels abort on the scales.
    data = np.random.default_rng(0).normal(size=(8, 6, 7, 1)).astype(np.float32)
    stock = stock_of(net(1), data)
    with pytest.raises(
        ModelError, match=r"the model: the stock int8 file .*SIGABRT\) at operator \d+, ADD .*normalize"
    ):
        check_stock(stock, {"x": data[:1]}, "the model")


def test_a_file_that_runs_passes():
    data = np.random.default_rng(0).normal(size=(8, 6, 7, 3)).astype(np.float32)
    check_stock(stock_of(net(3), data), {"x": data[:1]}, "the model")
