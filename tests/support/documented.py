"""What the examples of the documentation take for granted: small networks, data, and files of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tfmpq
from tests.support.shards import npy, write_tar

SIZE, CLASSES, TOKENS, LENGTH = 16, 4, 64, 8
COUNT = 32  # from here on samples are kept out of the fit


def pictures(count: int) -> np.ndarray:
    """Images of -1..1 that classes can be told of: noise with a bright quarter."""
    values = np.random.default_rng(1).uniform(-1, 0.2, (count, SIZE, SIZE, 3)).astype(np.float32)
    half = SIZE // 2
    for i in range(count):
        row, column = divmod(i % CLASSES, 2)
        values[i, row * half : (row + 1) * half, column * half : (column + 1) * half] += 0.8
    return values


def labels(count: int) -> np.ndarray:
    """The bright quarter's number."""
    return np.arange(count) % CLASSES


def classifier() -> Any:
    """A network with the layers that the pages' recipes name."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Conv2D(16, 3, 2, padding="same", activation="relu", name="stem")(image)
    y = layers.Conv2D(32, 1, activation="relu", name="block_10_expand")(x)
    y = layers.Conv2D(16, 1, name="block_10_project")(y)
    x = layers.Add(name="add_1")([x, y])
    x = layers.Conv2D(64, 1, activation="relu", name="head")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax", name="classifier")(x), name="net")


def detector() -> Any:
    """Boxes in pixels beside scores of 0..1, in one output."""
    import keras
    from keras import layers

    net = classifier()
    x = net.get_layer("head").output
    boxes = layers.Rescaling(40.0, name="pixels")(layers.Conv2D(4, 1, name="boxes")(x))
    scores = layers.Conv2D(8, 1, activation="sigmoid", name="scores")(x)
    return keras.Model(net.input, layers.Concatenate(name="joined")([boxes, scores]), name="detector")


def language_model() -> Any:
    """Logits of the next token."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    x = layers.Embedding(TOKENS, 32, name="tokens")(ids)
    x = layers.Dense(64, activation="gelu", name="up")(x)
    return keras.Model(ids, layers.Dense(TOKENS, name="logits")(x), name="lm")


def token_ids(count: int) -> np.ndarray:
    """Sequences of tokens."""
    return np.random.default_rng(2).integers(0, TOKENS, (count, LENGTH)).astype(np.int32)


NAMES: dict[str, Callable[[], Any]] = {
    "model": classifier,
    "keras_model": classifier,
    "vit": classifier,
    "language_model": language_model,
    "images": lambda: pictures(COUNT),
    "data": lambda: pictures(COUNT),
    "rep_dataset": lambda: pictures(COUNT),
    "test_images": lambda: pictures(16),
    "labels": lambda: labels(COUNT),
    "test_labels": lambda: labels(16),
    "token_ids": lambda: token_ids(COUNT),
    "test_ids": lambda: token_ids(16),
    "sentences": lambda: token_ids(COUNT),
    "mask": lambda: np.array([[0.0, -1e9]], np.float32),
    "scale": lambda: 0.05,
    "zero_point": lambda: -3,
    "my_score": lambda: len,
    "Path": lambda: Path,
    "np": lambda: np,
    "tfmpq": lambda: tfmpq,
}


def write_files(folder: Path) -> None:
    """Models, calibration data, photos, labelled data and .tflite files, under the names that pages give them."""
    net = classifier()
    for name in ("model.keras", "net.keras"):
        net.save(folder / name)
    np.savez(folder / "calibration.npz", x=pictures(COUNT))
    for name, count in (("labelled.npz", 64), ("test.npz", 600)):
        np.savez(folder / name, x=pictures(count), y=labels(count))
    (folder / "photos").mkdir()
    for i, image in enumerate(pictures(COUNT)):
        file = io.BytesIO()
        Image.fromarray(np.uint8(np.clip((image + 1) * 127.5, 0, 255))).save(file, "png")
        (folder / "photos" / f"{i}.png").write_bytes(file.getvalue())
    for name, count in (("gathered", 16), ("labelled", 64)):
        (folder / name).mkdir()
        for part in range(2):
            samples = list(zip(pictures(count), labels(count), strict=True))[part::2]
            write_tar(folder / name / f"{part}.tar", [{"npy": npy(x), "cls": str(y).encode()} for x, y in samples])
    result = tfmpq.convert(net, pictures(COUNT), progress=False)
    for name in ("model", "tfmpq", "new", "released", "other"):
        (folder / f"{name}.tflite").write_bytes(result.tflite_model)
    (folder / "stock.tflite").write_bytes(result.stock_model)
    for name in ("float", "net_float"):
        (folder / f"{name}.tflite").write_bytes(result.float_model)
