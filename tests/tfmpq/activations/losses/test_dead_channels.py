"""Channels that never change are named, with what they cost."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.activation_cases import case_of
from tfmpq.activations.losses.dead_channels import dead_channel_notes

Constant: Any = keras.initializers.Constant
DATA = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 3)).astype(np.float32)


def network(dead: int, still: int = 0) -> Any:
    """A layer of 16 channels, some of which ReLU makes 0, and some whose kernels are 0."""
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 3), name="given")
    wide = layers.Conv2D(16, 3, activation="relu", name="wide")
    model = keras.Model(given, layers.Conv2D(4, 1, name="head")(wide(given)))
    kernel, bias = (np.array(value) for value in wide.get_weights())
    bias[:dead] = -50
    kernel[..., dead : dead + still] = 0
    bias[dead : dead + still] = 2
    wide.set_weights([kernel, bias])
    return model


@pytest.mark.parametrize(
    ("dead", "still", "said"),
    [
        (4, 0, ["4 of 16 channels", "all of them 0", "25% of its weights", "(21.8% of all weights)"]),
        (2, 2, ["4 of 16 channels", "2 of them 0"]),
        (0, 3, ["3 of 16 channels", "none of them 0", "19% of its weights"]),
    ],
)
def test_a_line_for_the_layer(dead: int, still: int, said: list[str]):
    (note,) = dead_channel_notes(case_of(network(dead, still), DATA))
    assert note.startswith("layer 'wide': ")
    assert [part for part in said if part not in note] == []


@pytest.mark.parametrize("dead", [0, 1, 16])
def test_one_channel_or_all_of_them_are_not_named(dead: int):
    assert dead_channel_notes(case_of(network(dead), DATA)) == ()


def test_few_values_of_a_channel_say_nothing():
    keras.utils.set_random_seed(0)
    given = keras.Input((6,), name="given")
    x = layers.Dense(16, activation="relu", bias_initializer=Constant(-50))(given)
    x = layers.Concatenate()([x, layers.Dense(4)(given)])
    assert dead_channel_notes(case_of(keras.Model(given, layers.Dense(3)(x)), DATA[:, 0, :2].reshape(40, 6))) == ()
