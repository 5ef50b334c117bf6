from __future__ import annotations

import keras
import numpy as np
from keras import layers

from converters.frontend.load import load_model
from converters.tflite.graph import Graph, Tensor
from converters.tflite.reader import load
from tfmpq.activations.losses.channel_counts import channel_counts


def graph_of(model: keras.Model) -> Graph:
    return load(load_model(model).flatbuffer).graph


def found(graph: Graph, op: str, number: int = 0) -> np.ndarray:
    """Importance of what reads the number-th operator of a kind."""
    tensor: Tensor = [o for o in graph.ops if o.name == op][number].input(0)
    return channel_counts(graph)[tensor]


def test_energies_go_back_through_layers_sums_and_joints():
    keras.utils.set_random_seed(0)
    given = layers.Input((6, 6, 4), name="given")
    a = layers.Conv2D(8, 3, padding="same", activation="relu", name="a")(given)
    b = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="b")(a)
    c = layers.Conv2D(4, 1, groups=2, name="c")(a)
    joined = layers.Concatenate(name="joined")([b, c])
    model = keras.Model(given, layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(joined)))
    kernel = {name: np.asarray(model.get_layer(name).get_weights()[0], np.float64) ** 2 for name in "abc"}
    head = (np.asarray(model.get_layer("head").get_weights()[0], np.float64) ** 2).sum(axis=1)  # 16 of b, 4 of c
    by_b = (kernel["b"].sum(axis=(0, 1)) * head[:16].reshape(8, 2)).sum(axis=1)
    by_c = np.concatenate(
        [(kernel["c"][0, 0][:, g * 2 : g * 2 + 2] * head[16 + g * 2 : 18 + g * 2]).sum(axis=1) for g in range(2)]
    )
    graph = graph_of(model)
    np.testing.assert_allclose(found(graph, "MEAN"), head, rtol=1e-5)  # float32 constants
    np.testing.assert_allclose(found(graph, "DEPTHWISE_CONV_2D"), by_b + by_c, rtol=1e-5)
    expected = (kernel["a"].sum(axis=(0, 1)) * (by_b + by_c)).sum(axis=1)
    np.testing.assert_allclose(channel_counts(graph)[graph.inputs[0]], expected, rtol=1e-5)


def test_maps_laid_flat_and_what_mixes_channels():
    keras.utils.set_random_seed(0)
    given = layers.Input((4, 4, 3), name="given")
    flat = layers.Flatten()(layers.Activation("tanh")(given))
    model = keras.Model(given, layers.Dense(2, name="head")(flat))
    squares = (np.asarray(model.get_layer("head").get_weights()[0], np.float64) ** 2).sum(axis=1)
    graph = graph_of(model)
    np.testing.assert_allclose(found(graph, "TANH"), squares.reshape(16, 3).sum(axis=0), rtol=1e-5)
    given = layers.Input((5,), name="given")
    graph = graph_of(keras.Model(given, layers.Dense(4)(layers.Softmax()(given))))
    energy = found(graph, "SOFTMAX")
    assert np.ptp(energy) == 0 < energy[0]
