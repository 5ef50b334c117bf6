"""Recurrent networks, as Keras 3 makes them (loops) and as tf_keras does (LSTMs are one operator)."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS, WIDTH = 12, 8
NETS = ("lstm", "gru", "simple", "bidirectional", "stacked", "unrolled", "stateful", "states")
DATA = np.random.default_rng(0).normal(size=(48, STEPS, WIDTH)).astype(np.float32)


def recurrent(k: Any, kind: str) -> Any:
    """A network with one or two recurrent layers and a dense one behind.

    Args:
        k: ``keras`` or ``tf_keras``.
        kind: one of ``NETS``.
    """
    k.utils.set_random_seed(0)
    layers = k.layers
    x = k.Input((STEPS, WIDTH), batch_size=1 if kind == "stateful" else None, name="x")
    head = layers.Dense(4, name="head")
    if kind == "states":
        y, hidden, cell = layers.LSTM(16, return_state=True, name="recurrent")(x)
        return k.Model(x, [head(y), hidden, cell])
    if kind == "stacked":
        y = layers.LSTM(16, return_sequences=True, name="lower")(x)
        return k.Model(x, head(layers.LSTM(16, name="upper")(y)))
    layer: Any = {
        "lstm": lambda: layers.LSTM(16, name="recurrent"),
        "gru": lambda: layers.GRU(16, name="recurrent"),
        "simple": lambda: layers.SimpleRNN(16, name="recurrent"),
        "bidirectional": lambda: layers.Bidirectional(layers.LSTM(16, return_sequences=True), name="recurrent"),
        "unrolled": lambda: layers.LSTM(16, unroll=True, name="recurrent"),
        "stateful": lambda: layers.LSTM(16, stateful=True, name="recurrent"),
    }[kind]()
    return k.Model(x, head(layer(x)))
