from __future__ import annotations

from typing import Any

import pytest

from converters.frontend.load import load_model
from converters.layers.output_kind import output_kind, scores_tokens
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


@pytest.mark.parametrize(
    ("ids", "activation", "expected"), [(True, None, True), (False, None, False), (True, "relu", False)]
)
def test_logits_of_tokens_are_those_of_models_that_read_ids(ids: bool, activation: str | None, expected: bool):
    """Of other models, rows of a weight layer may be boxes with their scores."""
    import keras

    k: Any = keras.layers
    given = keras.Input((6,), batch_size=1, dtype="int32") if ids else keras.Input((6, 8), batch_size=1)
    rows = k.Embedding(30, 8)(given) if ids else given
    graph = load(load_model(keras.Model(given, k.Dense(30, activation=activation)(rows))).flatbuffer).graph
    assert scores_tokens(graph, graph.outputs[0]) == expected
