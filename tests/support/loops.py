"""Networks with loops whose bodies hold weights, as Keras 3 exports recurrent layers, and data for them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

STEPS, WIDTH, UNITS = 8, 40, 32


def loop_net(kind: str, *, steps: int | None = STEPS, sequences: bool = False) -> Any:
    """A recurrent layer of more than a thousand weights a matrix, and a dense one behind.

    Args:
        kind: ``"lstm"``, ``"gru"``, ``"bidirectional"``, or ``"alone"``: without the dense layer.
        steps: of a sample; None: open.
        sequences: whether the results of all steps go on.
    """
    keras.utils.set_random_seed(0)
    x = keras.Input((steps, WIDTH), batch_size=1, name="x")
    layer = layers.GRU if kind == "gru" else layers.LSTM
    recurrent: Any = layer(UNITS, return_sequences=sequences, name="recurrent")
    y = (layers.Bidirectional(recurrent, name="recurrent") if kind == "bidirectional" else recurrent)(x)
    return keras.Model(x, y if kind == "alone" else layers.Dense(40, name="head")(y), name="net")


def samples(count: int = 48, steps: int = STEPS) -> list[np.ndarray]:
    """Smooth sequences, (1, steps, WIDTH) each: neighbouring inputs go together, as in real signals."""
    rng = np.random.default_rng(0)
    mix = np.cumsum(rng.normal(size=(WIDTH, WIDTH)), axis=0) / WIDTH
    return [(rng.normal(size=(1, steps, WIDTH)) @ mix).astype(np.float32) for _ in range(count)]
