from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import DataError
from converters.frontend.load import load_model
from converters.rewriting.lookups import with_lookups
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tfmpq.data.id_check import check_ids

ROWS = 50


@pytest.fixture(scope="module")
def keras_model() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    ids = keras.Input((6,), dtype="int32", name="ids")
    other = keras.Input((6, 32), name="other")
    return keras.Model([ids, other], layers.Dense(40)(layers.Embedding(ROWS, 32, name="token")(ids) + other))


@pytest.fixture(scope="module")
def model(keras_model: Any) -> Model:
    return load(load_model(keras_model, batch_size=1).flatbuffer)


def _samples(*ids: int) -> list[dict[str, np.ndarray]]:
    return [{"ids": np.full((1, 6), i, np.int32), "other": np.zeros((1, 6, 32), np.float32)} for i in ids]


def _check(model: Model, *ids: int) -> None:
    check_ids(model, lambda: iter(_samples(*ids)), {t: n for n, t in model.signatures[0].inputs})


@pytest.mark.parametrize("rewritten", [False, True])
def test_ids_without_a_row_are_named(model: Model, rewritten: bool) -> None:
    graph = with_lookups(model) if rewritten else model
    _check(graph, 0, ROWS - 1, -1, -ROWS)  # Keras counts negative ids from the end
    with pytest.raises(DataError, match=r"sample 1 of rep_dataset, input 'ids' holds the id 50.*rows 0 to 49"):
        _check(graph, 3, ROWS)
    with pytest.raises(DataError, match="the id -51"):
        _check(graph, -ROWS - 1)


def test_data_are_not_read_where_no_input_is_an_id(model: Model) -> None:
    graph = load(load_model(_dense(), batch_size=1).flatbuffer)

    def samples():
        raise AssertionError("read")

    check_ids(graph, samples, {})


def _dense() -> Any:
    import keras

    x = keras.Input((6,), name="x")
    return keras.Model(x, keras.layers.Dense(40)(x))


@pytest.mark.parametrize("activations", ["int8", "float"])
def test_conversions_say_it_before_any_work(keras_model: Any, activations: Any) -> None:
    with pytest.raises(DataError, match="'ids' holds the id 50"):
        tfmpq.convert(keras_model, _samples(1, 2, ROWS), activations=activations, progress=False)
