"""Networks whose outputs hold values of very different size, and what becomes of these."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize

BOXES, SCORES = slice(0, 4), slice(4, 6)  # channels of heads()
SHAPE = (16, 16, 3)
_RARE: Any = keras.initializers.Constant(-2.0)  # probabilities of about an eighth


def images(count: int = 80) -> np.ndarray:
    """Noise, float32 (count, 16, 16, 3)."""
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)


def heads(*, anchors: int = 1, levels: int = 1, shared: bool = False, transposed: bool = False) -> Any:
    """Boxes of hundreds of pixels and scores of about one from the same convolutions, one a level, in one output.

    Args:
        anchors: (4 boxes, 2 scores) so many times at each position.
        levels: feature maps of different size, whose heads are joined side by side.
        shared: all levels have one convolution.
        transposed: channels come before positions.
    """
    keras.utils.set_random_seed(0)
    given = x = layers.Input(SHAPE, name="image")
    maps = []
    for _ in range(levels):
        x = layers.Conv2D(24, 3, 2, padding="same", activation="relu")(x)
        maps.append(x)
    made = [layers.Conv2D(anchors * 6, 1, name=f"head{i}") for i in range(1 if shared else levels)] * levels
    rows = [layers.Reshape((-1, 6))(head(features)) for head, features in zip(made, maps, strict=False)]
    for head in made[: 1 if shared else levels]:
        weight, bias = head.get_weights()
        size = np.tile([200.0] * 4 + [1.0] * 2, anchors)
        head.set_weights([weight * size, bias + size * (size > 1)])
    joined = layers.Concatenate(axis=1)(rows) if levels > 1 else rows[0]
    return keras.Model(given, layers.Permute((2, 1))(joined) if transposed else joined)


def joined(*, extra: bool = False, scale: float = 300.0) -> Any:
    """Boxes of up to ``scale`` and probabilities of 20 classes, (64, 24); ``extra``: a second output of plain size."""
    keras.utils.set_random_seed(0)
    given = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(24, 3, 2, padding="same", activation="relu")(given)
    boxes = layers.Conv2D(4, 1, activation="sigmoid")(x) * scale
    scores = layers.Conv2D(20, 1, activation="sigmoid", bias_initializer=_RARE)(x)
    both = layers.Concatenate()([layers.Reshape((64, 4))(boxes), layers.Reshape((64, 20))(scores)])
    if not extra:
        return keras.Model(given, both)
    return keras.Model(given, {"plain": layers.Dense(5)(layers.GlobalAveragePooling2D()(x)), "boxes": both})


def small_detector() -> Any:
    """Boxes of 300 pixels, give or take a few, and 20 probabilities of an eighth in one tensor; images (64, 64, 3)."""
    keras.utils.set_random_seed(0)
    given = x = layers.Input((64, 64, 3), name="image")
    for width in (24, 48, 96):
        x = layers.Conv2D(width, 3, 2, padding="same", use_bias=False)(x)
        x = layers.Activation("silu")(layers.BatchNormalization()(x))
    boxes = layers.Conv2D(4, 1, activation="relu")(x) * 20.0 + 300.0
    scores = layers.Conv2D(20, 1, activation="sigmoid", bias_initializer=_RARE)(x)
    return keras.Model(given, layers.Concatenate()([layers.Reshape((64, 4))(boxes), layers.Reshape((64, 20))(scores)]))


def decoded(*, bounded: bool) -> Any:
    """Channels of one size that constants make boxes and scores of in the last steps; ``bounded``: by a sigmoid."""
    keras.utils.set_random_seed(0)
    given = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(24, 3, 2, padding="same", activation="relu")(given)
    raw = layers.Conv2D(6, 1, activation="sigmoid" if bounded else None)(x)
    size, shift = np.array([[300] * 4 + [1] * 2, [8] * 4 + [0] * 2], np.float32)
    return keras.Model(given, layers.Reshape((64, 6))(raw * size + shift))


def embedding(huge: tuple[int, ...] = (3, 17), factor: float = 150.0) -> Any:
    """32 features of which some are larger than the others."""
    keras.utils.set_random_seed(0)
    given = layers.Input(SHAPE, name="image")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(64, 3, 2, activation="relu")(given))
    last = layers.Dense(32, name="embedding")
    model = keras.Model(given, last(x))
    weight, bias = last.get_weights()
    weight[:, list(huge)] *= factor
    last.set_weights([weight, bias])
    return model


def values(content: bytes, data: np.ndarray, name: str) -> list[np.ndarray]:
    """Real outputs of a file, stacked over samples; ``name`` is its input's."""
    interpreter = make_interpreter(content)
    rows = []
    for sample in data[:, None]:
        raw = run(interpreter, {name: sample})
        rows.append([dequantize(r, d) for r, d in zip(raw, outputs(interpreter), strict=True)])
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def decibels(real: np.ndarray, made: np.ndarray) -> float:
    """Signal to noise."""
    noise = np.square(real.astype(np.float64) - made).sum()
    return float(10 * np.log10(np.square(real.astype(np.float64)).sum() / max(noise, 1e-30)))
