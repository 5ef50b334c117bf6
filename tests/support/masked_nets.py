"""Self attention whose scores are masked, in the ways that people do it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

POSITIONS, WIDTH, COUNT = 12, 16, 40
# Added to the scores; the scores' own scale applied behind; a mask of 0 and 1 as an input, made large by a product in
# two ways; chosen from two numbers; scores or a number; Keras's layer; a mask along the other axis.
CONSTANT_MASKS = (
    "constant",
    "scaled after",
    "one minus",
    "minus one",
    "divided",
    "subtracted",
    "of two",
    "selected",
    "layer",
    "transposed",
)


def masked(kind: str, big: float = -1e9, *, reader: str | None = None) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """A network with one masked softmax, and data.

    Args:
        kind: one of ``CONSTANT_MASKS``, or ``"input"``: the caller gives what is added.
        big: what masks.
        reader: what else sees the masked scores: ``"output"`` of the model, or their ``"maximum"``.
    """
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    given = layers.Input((POSITIONS, WIDTH), name="given")
    query, key, value = (layers.Dense(WIDTH, name=f"{name}")(given) for name in ("query", "key", "value"))
    scores: Any = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
    shown = np.arange(POSITIONS)[None] < rng.integers(4, POSITIONS + 1, (COUNT, 1))
    fields = {"given": rng.normal(size=(COUNT, POSITIONS, WIDTH)).astype(np.float32)}
    past = np.tril(np.ones((1, POSITIONS, POSITIONS), np.float32))
    inputs = [given]
    if kind not in ("constant", "scaled after"):
        boolean = kind in ("of two", "selected", "layer", "transposed")
        mask: Any = layers.Input((POSITIONS,), name="mask", dtype="bool" if boolean else "float32")
        inputs.append(mask)
        numbers = (1 - shown) * big if kind == "input" else shown
        fields["mask"] = numbers.astype(bool if boolean else np.float32)
        row = mask[:, None, :]
    scores, axis = scores if kind == "scaled after" else scores / 4, -1
    if kind == "constant":
        scores = scores + (1 - past) * big
    elif kind == "scaled after":
        scores = (scores + (1 - past) * big) / 4
    elif kind == "one minus":
        scores = scores + (1 - row) * big
    elif kind == "minus one":
        scores = scores + (row - 1) * -big
    elif kind == "divided":
        scores = scores + (1 - row) / np.float32(1 / big)
    elif kind == "subtracted":
        scores = scores - (1 - row) * -big
    elif kind == "of two":
        scores = scores + ops.where(row, 0.0, big)
    elif kind == "selected":
        scores = ops.where(row, scores, big)
    elif kind == "transposed":
        scores, axis = ops.where(mask[:, :, None], ops.transpose(scores, (0, 2, 1)), big), 1
    elif kind == "input":
        scores = scores + row
    weights: Any
    if kind == "layer":  # -1e9, or what float16 holds; not ours to choose
        weights = layers.Softmax()(scores, mask=ops.broadcast_to(row, (1, POSITIONS, POSITIONS)))
    else:
        weights = ops.softmax(scores, axis=axis)
        weights = ops.transpose(weights, (0, 2, 1)) if axis == 1 else weights
    attended: Any = ops.matmul(weights, value)
    result: list[Any] = [layers.Dense(5, name="head")(attended + given)]
    if reader == "output":
        result.append(scores)
    elif reader == "maximum":
        result.append(ops.max(scores, axis=-1))
    return keras.Model(inputs, result, name="net"), fields
