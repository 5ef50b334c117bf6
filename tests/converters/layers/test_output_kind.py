from __future__ import annotations

from typing import Any

import pytest

from converters.frontend.load import load_model
from converters.layers.output_kind import output_kind
from converters.tflite.reader import load


def kind_of_output(*layers: Any) -> str:
    import keras

    return output_kind(load(load_model(keras.Sequential([keras.Input((4, 4, 8)), *layers])).flatbuffer).graph)


@pytest.mark.parametrize("name", ["softmax", "logits", "pooled logits", "sigmoid", "features", "relu", "few", "map"])
def test_kinds(name: str):
    from keras import layers as k

    layers, expected = {
        "softmax": ([k.Flatten(), k.Dense(10), k.Softmax()], "classes"),
        "logits": ([k.Flatten(), k.Dense(20)], "classes"),
        "pooled logits": ([k.Conv2D(20, 1), k.GlobalAveragePooling2D()], "classes"),
        "sigmoid": ([k.Flatten(), k.Dense(20, activation="sigmoid")], "values"),
        "features": ([k.Conv2D(20, 1, activation="relu"), k.GlobalAveragePooling2D()], "embedding"),
        "relu": ([k.Flatten(), k.Dense(16, activation="relu")], "embedding"),
        "few": ([k.Flatten(), k.Dense(15, activation="relu")], "values"),
        "map": ([k.Conv2D(20, 1)], "values"),
    }[name]
    assert kind_of_output(*layers) == expected


def test_unit_vectors_are_embeddings():
    from keras import layers as k

    assert kind_of_output(k.Flatten(), k.Dense(20), k.UnitNormalization()) == "embedding"
