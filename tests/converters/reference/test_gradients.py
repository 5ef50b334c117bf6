from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from converters.layers.im2col import Geometry
from converters.layers.kinds import kind_of
from converters.layers.layer import Layer, Use
from converters.native_logs import quiet
from converters.reference import backpropagation
from converters.reference.gradients import GradientResult, channel_gradients
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite import graph as graphs
from converters.tflite.graph import Graph, Model
from converters.tflite.reader import load
from converters.tflite.writer import save

FOUND = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@pytest.fixture(scope="module")
def tf() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet():
        import tensorflow as tf
    return tf


@pytest.fixture(scope="module")
def build(tf: Any) -> Callable[..., Model]:
    """Converts a function of tensors to a float graph."""

    def build(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Model:
        specs = [tf.TensorSpec(shape) for shape in shapes]
        traced = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
        with quiet():
            return load(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())

    return build


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _layers(graph: Graph) -> list[Layer]:
    """One layer an op with constant weights, named by its place."""
    result = []
    for op in graph.ops:
        if op.name in FOUND and (kind := kind_of(op)) is not None and op.input(1).data is not None:
            rows = kind.rows(op.input(kind.site.weight).array())
            use = Use(op, op, np.zeros(len(rows), np.float32), kind.site)
            result.append(Layer(f"layer {len(result)}", kind, rows, 1, Geometry(), (use,)))
    return result


def _gradients(graph: Graph, xs: np.ndarray, layers: Sequence[Layer] | None = None, **options: Any) -> GradientResult:
    """Of a graph with one input; ``xs`` (N, 1, ...)."""
    found = _layers(graph) if layers is None else layers
    return channel_gradients(graph, found, ({"x": x} for x in xs), {"x": graph.inputs[0]}, **options)


def _values(result: GradientResult) -> dict[str, np.ndarray]:
    assert result.values is not None, result.reason
    return result.values


# ---------------------------------------------------------------- the numbers


def test_equals_keras_gradients_of_a_conv_bn_relu6_network(tf: Any, to_tflite: Callable[..., bytes]) -> None:
    import keras

    keras.utils.set_random_seed(3)
    conv: Any = keras.layers
    x = inputs = keras.Input((9, 8, 3))
    taps = []
    for layer in (
        conv.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
        conv.DepthwiseConv2D(3, padding="same", use_bias=False),
        conv.Conv2D(12, 1, use_bias=False),
    ):
        norm = conv.BatchNormalization()
        x = norm(layer(x))
        shape = norm.gamma.shape
        norm.set_weights([_normal(*shape) + 2, _normal(*shape), 0.1 * _normal(*shape), np.exp(_normal(*shape)) / 9])
        taps.append(x)
        x = conv.ReLU(6.0)(x)
    x = conv.Dense(1)(conv.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, [*taps, x])
    graph = load(to_tflite(keras.Model(inputs, x))).graph
    assert [op.name for op in graph.ops if op.name in FOUND] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "FULLY_CONNECTED",
    ]
    xs = np.random.default_rng(0).normal(size=(11, 1, 9, 8, 3)).astype(np.float32)

    source = tf.constant(xs[:, 0])
    with tf.GradientTape() as tape:
        tape.watch(source)
        *activations, y = model(source, training=False)
    # With one number as output the random sign does not matter: g = dy/dz / std(y).
    expected = [np.square(g).sum((1, 2)).mean(0) / np.var(y) for g in tape.gradient(y, activations)]
    found = _values(_gradients(graph, xs, draws=3, batch=4))
    for value, reference in zip(found.values(), [*expected, 1 / np.var(y)], strict=True):
        # Float32; a pre-activation within rounding of 0 or 6 may fall on the other side.
        np.testing.assert_allclose(
            value, np.broadcast_to(reference, value.shape), rtol=1e-3, atol=1e-3 * reference.max()
        )


def test_equals_finite_differences_and_adds_up_shared_layers(tf: Any, build: Callable[..., Model]) -> None:
    first, shared, last = _normal(5, 6), _normal(6, 6) / 2, _normal(6, 1)

    def network(x: Any) -> Any:
        hidden = tf.tanh(x @ first + _normal(6))
        for bias in (_normal(6) / 3, -_normal(6) / 2):
            hidden = tf.tanh(hidden @ shared + bias)
        return tf.exp(hidden @ last / 4)

    model = build(network, (1, 5))
    graph = model.graph
    separate = _layers(graph)
    assert len(separate) == 4
    middle = Layer("shared", separate[1].kind, separate[1].weight, 1, Geometry(), separate[1].uses + separate[2].uses)
    xs = np.random.default_rng(0).normal(size=(5, 1, 5)).astype(np.float32)
    found = _values(_gradients(graph, xs, [separate[0], middle, separate[3]]))

    def outputs() -> np.ndarray:
        interpreter = make_interpreter(save(model))
        (name,) = (name for name, _ in model.signatures[0].inputs) if model.signatures else (graph.inputs[0].name,)
        return np.array([run(interpreter, {name: x})[0].item() for x in xs])

    variance = outputs().var()
    step = np.float32(1e-2)
    for layer in (separate[0], middle, separate[3]):
        expected = np.zeros(layer.channels)
        for use in layer.uses:
            bias = use.float_op.inputs[2]
            if bias is None:
                bias = graphs.Tensor("bias", (layer.channels,), graphs.TensorType.FLOAT32, bytes(4 * layer.channels))
                use.float_op.inputs[2] = bias
            plain = bias.array()
            for channel in range(layer.channels):
                moved = []
                for sign in (1, -1):
                    bias.data = (plain + sign * step * np.eye(layer.channels, dtype=np.float32)[channel]).tobytes()
                    moved.append(outputs())
                expected[channel] += np.square((moved[0] - moved[1]) / (2 * step)).mean() / variance
            bias.data = plain.tobytes()
        # Central differences with step 1e-2: third derivatives of tanh and exp leave about 1e-4.
        np.testing.assert_allclose(found[layer.name], expected, rtol=5e-3, atol=1e-3 * expected.max())


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "softmax that goes on"])
def test_labels_are_drawn_from_the_model(tf: Any, build: Callable[..., Model], head: str) -> None:
    weight, bias = _normal(4, 5), _normal(5)

    def network(x: Any) -> Any:
        logits = x @ weight + bias
        if head == "sigmoid":
            return tf.sigmoid(logits)
        if head == "softmax":
            return tf.nn.softmax(logits)
        quantized = tf.quantization.fake_quant_with_min_max_args(tf.nn.softmax(logits), 0, 1)
        return tf.reshape(quantized, (1, 5, 1))

    graph = build(network, (1, 4)).graph
    xs = np.random.default_rng(0).normal(size=(4, 1, 4)).astype(np.float32)
    draws = 200
    (found,) = _values(_gradients(graph, xs, draws=draws)).values()
    logits = (xs[:, 0] @ weight + bias).astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    if head != "sigmoid":
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # g = [label = c] - p_c, so g^2 is (1 - p)^2 with probability p, otherwise p^2.
    mean = p * (1 - p)
    variance = p * (1 - p) ** 4 + (1 - p) * p**4 - mean**2
    deviation = np.sqrt(variance.sum(0) / draws) / len(xs)
    assert (
        np.abs(found - mean.mean(0)) < 4.5 * deviation
    ).all()  # chance to fail: 1e-5 an entry, and the seed is fixed


def test_the_gradient_at_the_logits_is_exact_and_its_uncertainty_that_of_the_samples(
    tf: Any, build: Callable[..., Model]
) -> None:
    first, weight = _normal(4, 6), _normal(6, 5)
    graph = build(lambda x: tf.nn.softmax(tf.nn.tanh(x @ first) @ weight), (1, 4)).graph
    xs = np.random.default_rng(0).normal(size=(6, 1, 4)).astype(np.float32)
    draws = 400
    result = _gradients(graph, xs, draws=draws)
    hidden, found = _values(result).values()
    logits = np.tanh(xs[:, 0] @ first).astype(np.float64) @ weight
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    exact = p * (1 - p)
    np.testing.assert_allclose(found, exact.mean(0), rtol=1e-4)  # float32
    _, variances = result.variances.values()
    np.testing.assert_allclose(variances, exact.var(0, ddof=1) / 6, rtol=1e-3)
    # What lies before is asked through labels drawn from p: g = tanh' W (label - p).
    slope = 1 - np.tanh(xs[:, 0] @ first).astype(np.float64) ** 2
    expected = slope**2 * (p @ (weight**2).T - (p @ weight.T) ** 2)
    # 400 draws of 6 samples leave about 1/sqrt(2400) times the spread of a square, which is a few times its mean.
    np.testing.assert_allclose(hidden, expected.mean(0), rtol=0.2)
    (_, one) = _gradients(graph, xs[:1]).variances.values()
    assert np.isinf(one).all()  # one sample tells nothing of how samples differ


def test_outputs_count_alike_whatever_their_scale(tf: Any, build: Callable[..., Model]) -> None:
    hidden, large = _normal(4, 6), _normal(6, 300)

    def network(x: Any, scale: float) -> Any:
        h = tf.nn.relu(x @ hidden + 1.0)
        return scale * tf.sin(h @ _normal(6, 3)), tf.cos(h @ large), tf.argmax(h, -1)

    xs = np.random.default_rng(0).normal(size=(6, 1, 4)).astype(np.float32)
    found = []
    for scale in (1.0, 1000.0):
        graph = build(lambda x, scale=scale: network(x, scale), (1, 4)).graph
        assert "ARG_MAX" in {op.name for op in graph.ops}  # integers have no gradient: left out
        found.append(_values(_gradients(graph, xs))["layer 0"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)  # float32
    assert (found[0] > 0).all()


# ---------------------------------------------------------------- how it runs


def _image_classifier(tf: Any) -> Callable[[Any], Any]:
    kernel, weight = _normal(3, 3, 2, 6), _normal(6, 4) / 9

    def network(x: Any) -> Any:
        x = tf.nn.relu6(tf.nn.conv2d(x, kernel, 2, "SAME") + _normal(6))
        rows = tf.reshape(x, (9, 6)) @ weight  # the batch leaves axis 0 and comes back
        return tf.nn.softmax(tf.reduce_mean(tf.reshape(rows, (1, 9, 4)), 1))

    return network


def test_same_numbers_for_every_batch_and_run(
    tf: Any, build: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = build(_image_classifier(tf), (1, 5, 6, 2)).graph
    xs = np.random.default_rng(0).normal(size=(9, 1, 5, 6, 2)).astype(np.float32)
    done: list[int] = []
    first = _values(_gradients(graph, xs, batch=3, limit=7, progress=done.append))
    assert done == [3, 3, 1]
    for batch in (1, 8):
        again = _values(_gradients(graph, xs[:7], batch=batch))
        for name, value in first.items():
            np.testing.assert_allclose(again[name], value, rtol=1e-4)  # float32, summed in another order
    done.clear()
    _gradients(graph, xs, batch=4, limit=6, progress=done.append)
    assert done == [3, 3]  # equal batches are traced once
    done.clear()
    monkeypatch.setattr(backpropagation, "_MAX_ACTIVATIONS", 1)
    _gradients(graph, xs, limit=2, progress=done.append)
    assert done == [1, 1]
    monkeypatch.undo()
    repeated = _values(_gradients(graph, xs, batch=3, limit=7))
    other = _values(_gradients(graph, xs, batch=3, limit=7, seed=1))
    for name, value in first.items():
        np.testing.assert_array_equal(repeated[name], value)
        assert not np.allclose(other[name], value)


def test_networks_that_mix_the_batch_run_sample_by_sample(tf: Any, build: Callable[..., Model]) -> None:
    weight = _normal(6, 6)

    def tiled(x: Any) -> Any:  # two samples together have the right shape, but get each other's copies
        return tf.sin(tf.reshape(tf.tile(x @ weight, (2, 1)), (1, 12)) @ _normal(12, 1))

    def attention(x: Any) -> Any:  # two samples together do not fit
        rows = tf.reshape(x @ weight, (6, 1))
        return tf.reshape(rows @ tf.sin(tf.transpose(rows)), (1, 36)) @ _normal(36, 1)

    xs = np.random.default_rng(0).normal(size=(4, 1, 6)).astype(np.float32)
    for network in (tiled, attention):
        graph = build(network, (1, 6)).graph
        together, alone = (_values(_gradients(graph, xs, batch=batch)) for batch in (4, 1))
        for name, value in alone.items():
            np.testing.assert_array_equal(together[name], value)


def test_graphs_without_gradients_say_why(tf: Any, build: Callable[..., Model]) -> None:
    weight = _normal(4, 4)
    xs = np.ones((2, 1, 4), np.float32)
    sort = build(lambda x: tf.sort(x @ weight), (1, 4)).graph
    assert _gradients(sort, xs) == GradientResult(None, reason=_gradients(sort, xs).reason)
    assert "TOPK_V2" in _gradients(sort, xs).reason
    indices = build(lambda x: tf.argmax(x @ weight, -1), (1, 4)).graph
    assert "no output" in _gradients(indices, xs).reason
    root = build(lambda x: tf.sqrt(tf.nn.relu(x @ -np.abs(weight))), (1, 4)).graph
    assert "'layer 0'" in _gradients(root, xs).reason
    assert "NaN" in _gradients(root, xs).reason
    assert "no samples" in _gradients(root, xs[:0]).reason
    assert all(result.values is None for result in (_gradients(g, xs) for g in (indices, root)))


def test_importing_loads_no_tensorflow(run_python: Callable[..., Any]) -> None:
    done = run_python("import converters.reference.gradients", blocked=("tensorflow", "keras", "tf_keras"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("times", [10, 60])
def test_values_added_to_themselves_again_and_again_have_no_gradients(times):
    x = [graphs.Tensor(f"x{number}", (1, 4), graphs.TensorType.FLOAT32) for number in range(times + 1)]
    options = graphs.schema.AddOptionsT()
    kind = graphs.schema.BuiltinOptions.AddOptions
    add = graphs.BuiltinOperator.ADD
    ops = [graphs.Op(add, [a, a], [b], 1, kind, options) for a, b in itertools.pairwise(x)]
    sample = {"x": np.ones((1, 4), np.float32)}
    result = channel_gradients(Graph([x[0]], [x[-1]], ops), [], [sample] * 4, {"x": x[0]})
    if times == 60:  # TensorFlow would write out 2^60 values
        assert result.reason == "ADD ('x14') adds up more than 10,000 values"
    else:
        assert result.values == {}
