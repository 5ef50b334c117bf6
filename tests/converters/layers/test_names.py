"""Layers are called what the user called them, in models of both Keras generations."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from converters.layers.names import LayerNames, name_ops
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType
from tests.support.pipeline import Converted, convert_once, random_vectors


def converted(model: Any) -> Converted:
    shape = model.inputs[0].shape[1:]
    values = np.random.default_rng(0).normal(size=(4, 1, *shape)).astype(np.float32)
    return convert_once(random_vectors(model), [{"x": v} for v in values])


def names(model: Any) -> list[str]:
    return list(converted(model).layers)


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def k(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


def test_nested_separable_and_folded_layers(k: Any):
    inner_x = k.Input((6, 6, 8))
    y = k.layers.Conv2D(8, 1, name="conv")(inner_x)
    y = k.layers.DepthwiseConv2D(3, use_bias=False, name="dw")(y)
    y = k.layers.ReLU(6.0, name="dw_relu")(k.layers.BatchNormalization(name="dw_bn")(y))
    inner = k.Model(inner_x, k.layers.Conv2D(6, 1, use_bias=False, name="conv_1")(y), name="block_1")
    x = k.Input((6, 6, 4), name="x")
    y = k.layers.Conv2D(8, 1, name="conv")(x)
    y = k.layers.SeparableConv2D(6, 3, name="separable")(k.layers.ReLU()(inner(y)))
    y = k.layers.Conv2DTranspose(4, 2, strides=2, use_bias=False, name="up_2")(y)
    y = k.layers.Dense(5, name="head")(k.layers.GlobalAveragePooling2D()(y))
    # The model is called as one of its layers is.
    assert names(k.Model(x, y, name="head")) == [
        "conv",
        "block_1/conv",
        "block_1/dw",  # not its normalization
        "block_1/conv_1",
        "separable:depthwise",  # two ops of one layer
        "separable:conv",
        "up_2",
        "head",
    ]


def test_shared_layers_have_one_name(k: Any):
    x = k.Input((6, 6, 4), name="x")
    shared = k.layers.Conv2D(4, 1, name="shared")
    y = k.layers.Conv2D(3, 1, name="head")(k.layers.ReLU()(shared(k.layers.ReLU()(shared(x)))))
    found = converted(k.Model(x, y)).layers
    assert {name: len(layer.uses) for name, layer in found.items()} == {"shared": 2, "head": 1}


def test_grouped_convolutions_whose_names_are_lost(k: Any):
    x = k.Input((6, 6, 8), name="x")
    # Branches of equal shapes: order tells nothing, TensorFlow sorts operators its own way.
    branches = []
    for name in ("b", "a"):
        y = k.layers.Conv2D(8, 3, groups=2, use_bias=False, name=f"grouped_{name}")(x)
        branches.append(k.layers.ReLU()(k.layers.BatchNormalization(name=f"bn_{name}")(y)))
    y = k.layers.Conv2D(8, 1, groups=4, name="last")(k.layers.Subtract()(branches))
    model = k.Model(x, k.layers.Conv2D(2, 1, name="head")(y))
    layers = converted(model).layers
    assert set(layers) == {"grouped_a", "grouped_b", "last", "head"}
    for name in ("grouped_a", "grouped_b"):
        kernel = np.moveaxis(np.asarray(model.get_layer(name).kernel), -1, 0).reshape(8, -1)
        ratio = layers[name].weight / kernel
        # Normalization was folded into it: every row by one factor, in float32.
        np.testing.assert_allclose(ratio, ratio[:, :1].repeat(ratio.shape[1], 1), rtol=1e-4)
        assert ratio.std() > 0.01


def test_the_last_one_without_a_name_belongs_to_the_last_layer_without_an_op():
    tf_keras = importlib.import_module("tf_keras")
    x = tf_keras.Input((4, 12), name="x")
    # One operator called tfl.unidirectional_sequence_lstm with weights called arith.constant.
    y = tf_keras.layers.Dense(3, name="head")(tf_keras.layers.LSTM(6, name="memory")(x))
    found = converted(tf_keras.Model(x, y))
    assert list(found.layers) == ["head"]
    (skipped,) = found.skipped
    assert (skipped.name, skipped.op) == ("memory/lstm_cell", "UNIDIRECTIONAL_SEQUENCE_LSTM")
    assert "one scale a matrix" in skipped.reason


@pytest.mark.slow
def test_lstms_are_told_by_their_kernels():
    tf_keras = importlib.import_module("tf_keras")
    x = tf_keras.Input((4, 12), name="x")
    y = tf_keras.layers.LSTM(12, name="lower", return_sequences=True)(x)  # matrices of 64 numbers or more
    y = tf_keras.layers.Bidirectional(tf_keras.layers.LSTM(6, name="lstm"), name="upper")(y)
    found = converted(tf_keras.Model(x, tf_keras.layers.Dense(3, name="head")(y)))
    assert list(found.layers) == ["head"]
    names = {skipped.name for skipped in found.skipped if skipped.op == "UNIDIRECTIONAL_SEQUENCE_LSTM"}
    assert names == {"lower/lstm_cell", "upper/forward_lstm/lstm_cell", "upper/backward_lstm/lstm_cell"}


def test_files_keep_their_own_names(conv_net_float: bytes, images: np.ndarray):
    found = convert_once(conv_net_float, [{"image": image[None]} for image in images[:4]])
    assert found.model.names.paths == ()
    # Nothing says that the numbers are Keras's: they stay.
    assert list(found.layers) == [
        "conv_net_1/stem_1",
        "conv_net_1/depthwise_1",
        "conv_net_1/project_1",
        "conv_net_1/classifier_1",
    ]


def test_tied_weights_are_called_after_a_keras_layer(k: Any):
    """The last layer has no kernel: it computes with that of the embedding."""

    class Logits(k.layers.Layer):
        def __init__(self, table: Any, **options: Any) -> None:
            super().__init__(**options)
            self.table = table

        def call(self, x: Any) -> Any:
            import tensorflow as tf

            return tf.matmul(x, tf.convert_to_tensor(self.table.embeddings), transpose_b=True)

    ids = k.Input((8,), dtype="int32", name="x")
    table = k.layers.Embedding(80, 16, name="tokens")
    y = k.layers.Dense(16, activation="relu", name="body")(table(ids))
    model = k.Model(ids, Logits(table, name="logits")(y))
    rows = np.random.default_rng(0).integers(0, 80, (4, 1, 8)).astype(np.int32)
    found = convert_once(random_vectors(model), [{"x": row} for row in rows])
    assert list(found.layers) in (["body", "logits"], ["body", "tokens"])  # whichever TensorFlow has kept


NN = "torch.nn.modules"
WRAPPER = "litert_torch._convert.to_channel_last_io.ChannelLastIOWrapper"


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        (f"__main__.Net/{NN}.conv.Conv2d_c2;1", "c2"),
        (f"{NN}.container.Sequential/{NN}.container.Sequential_3/{NN}.conv.Conv2d_0;1", "3.0"),
        (f"a.N/a.Block_body/{NN}.batchnorm.BatchNorm2d_norm;;a.N/a.Block_body/{NN}.conv.Conv2d_c_1;2", "body.c_1"),
        (f"{WRAPPER}/a.Net_wrapped/a._Head_head/{NN}.linear.Linear_out;", "head.out"),
        (f"{NN}.linear.Linear;1", "Linear"),
        ("arith.constant9", "arith.constant9"),
        ("net/conv_1/convolution", "net/conv_1"),
    ],
)
def test_modules_of_pytorch_are_called_as_named_modules_does(tensor: str, name: str):
    weight = Tensor(tensor, (1,), TensorType.FLOAT32, b"\0\0\0\0")
    result = Tensor("StatefulPartitionedCall:0", (1,), TensorType.FLOAT32)
    op = Op(BuiltinOperator.FULLY_CONNECTED, [Tensor("x", (1,), TensorType.FLOAT32), weight], [result])
    assert name_ops([op], LayerNames()) == {op: name}
