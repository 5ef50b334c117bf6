"""Untrained networks for tests of the app's expand code: what counts is that each kind of layer occurs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.frontend.load import load_model
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save

LENGTH, WORDS, TIED_WORDS, WIDTH = 6, 300, 64, 32


def images(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)


def token_ids(words: int) -> np.ndarray:
    """Sequences of ids, some of them frequent."""
    ids = np.random.default_rng(0).zipf(1.2, (64, LENGTH)) % words
    return ids.astype(np.int32)


def image_net(build: Callable[[Any, Any], Any], shape: tuple[int, ...]) -> Any:
    """The network that ``build(keras.layers, input)`` describes, with random weights: rows of very different size."""
    import keras

    _start()
    x = keras.Input(shape, name="x")
    return _randomized(keras.Model(x, build(keras.layers, x)))


def _start() -> None:
    import keras

    keras.backend.clear_session()  # else names, and so sizes, depend on what was built before
    keras.utils.set_random_seed(1)


def _randomized(model: Any) -> Any:
    rng, weights = np.random.default_rng(2), model.get_weights()
    model.set_weights([w * np.exp(rng.normal(size=w.shape[-1])) + 0.1 * rng.normal(size=w.shape) for w in weights])
    return model


def convolutions(k: Any, x: Any) -> Any:
    """Every kind of layer, one after the other."""
    y = k.Conv2D(32, 3, padding="same", activation="relu", name="stem")(x)
    y = k.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6", name="depthwise")(y)
    y = k.Conv2D(64, 1, activation="relu6", name="pointwise")(y)
    y = k.Conv2D(4, 3, padding="valid", name="large")(y)
    return k.Dense(10, activation="softmax", name="head")(k.Flatten()(y))


def residual(k: Any, x: Any) -> Any:
    """A trunk that two blocks add to."""
    trunk = k.Conv2D(16, 3, padding="same", activation="relu", name="stem")(x)
    for i in range(2):
        y = k.Conv2D(16, 3, padding="same", activation="relu", name=f"block{i}_a")(trunk)
        y = k.Conv2D(16, 3, padding="same", name=f"block{i}_b")(y)
        trunk = k.ReLU()(k.Add()([trunk, y]))
    return k.Dense(10, name="head")(k.Flatten()(k.MaxPooling2D(4)(trunk)))


def upward(k: Any, x: Any) -> Any:
    """Transposed and grouped convolutions, and branches of the user's own that join as points do."""
    y = k.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="down")(x)
    y = k.Conv2D(8, 3, padding="same", groups=2, activation="relu", name="grouped")(y)
    left = k.Conv2D(4, 1, name="points1")(y)
    y = k.Concatenate(name="points2")([left, k.Conv2D(4, 3, padding="same", name="out")(y)])
    y = k.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu", name="up")(y)
    return k.Conv2D(10, 3, name="last")(k.UpSampling2D(2, interpolation="bilinear")(k.LeakyReLU()(y)))


def sequence(k: Any, x: Any) -> Any:
    """Dense layers of rank 3, one of them shared, and ops whose options hold more than numbers."""
    shared = k.Dense(16, activation="relu", name="shared")
    y = shared(k.Dense(16, name="embed")(x))
    z = shared(k.Permute((2, 1))(k.Reshape((16, -1))(k.Permute((2, 1))(y))))
    y = k.Softmax()(k.Dot(axes=(2, 2))([y, z]))
    y = k.ZeroPadding1D(1)(k.LayerNormalization()(k.Dense(16, name="mix")(y)))
    return k.Dense(5, activation="sigmoid", name="head")(k.GlobalMaxPooling1D()(y[:, 1:-1:2]))


def wide_convolutions(k: Any, x: Any) -> Any:
    """Layers of more than a thousand weights each: smaller ones stay float beside float activations."""
    y = k.Conv2D(16, 3, padding="same", activation="relu", name="stem")(x)
    y = k.Conv2D(64, 1, activation="relu6", name="pointwise")(k.DepthwiseConv2D(3, padding="same", name="depthwise")(y))
    y = k.Conv2D(16, 3, strides=2, padding="valid", name="large")(y)
    y = k.Conv2DTranspose(16, 3, strides=2, padding="same", name="up")(y)
    return k.Dense(64, name="head")(k.Dense(64, activation="relu", name="hidden")(k.GlobalAveragePooling2D()(y)))


def encoder() -> Any:
    """Attention with a mask over a table of tokens, which is large enough for rows with a second point."""
    import keras

    _start()
    k = keras.layers
    ids, mask = (keras.Input((LENGTH,), dtype="int32", name=name) for name in ("ids", "mask"))
    x = k.Embedding(WORDS, WIDTH, name="tokens")(ids)
    seen = keras.ops.expand_dims(keras.ops.cast(mask, "bool"), 1)
    x = k.LayerNormalization()(x + k.MultiHeadAttention(2, 16, name="attention")(x, x, attention_mask=seen))
    return _randomized(keras.Model([ids, mask], k.Dense(40, name="logits")(_block(k, x))))


def language_model() -> Any:
    """A table that is the output layer's weight as well."""
    import keras

    _start()
    k = keras.layers
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    table = k.Embedding(TIED_WORDS, WIDTH, name="tokens")
    body = _randomized(keras.Model(ids, _block(k, table(ids))))
    # Taken as they are by now: outside of a layer Keras transposes the numbers, not the variable.
    return keras.Model(ids, keras.ops.matmul(body.output, keras.ops.transpose(table.embeddings)))


def _block(k: Any, x: Any) -> Any:
    y = k.Dense(WIDTH, name="down")(k.Dense(2 * WIDTH, activation="relu", name="up")(x))
    return k.LayerNormalization()(x + y)


def two_dense(k: Any, x: Any) -> Any:
    """Two dense layers of rank 3."""
    return k.Dense(WIDTH, name="down")(k.Dense(2 * WIDTH, activation="relu", name="up")(x))


def with_a_second_graph(model: Any, *, shared: bool) -> bytes:
    """The float file with its graph twice, as signature "again" too.

    Args:
        model: of Keras.
        shared: whether the second graph has the same weights; else they are others by the same names.
    """
    file = load(load_model(model).flatbuffer)
    again = copy.deepcopy(file.signatures[0])
    again.key = again.graph.name = "again"
    for tensor in again.graph.tensors():
        if not shared and tensor.data is not None and tensor.type == TensorType.FLOAT32:
            tensor.data = tensor.array().ravel()[::-1].tobytes()
    file.graphs.append(again.graph)
    file.signatures.append(again)
    return save(file)
