"""Layer costs with cached prefixes equal those of running the whole network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.find import find_layers
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Tensor
from converters.tflite.reader import load
from converters.tflite.writer import save
from tfmpq.data.representative import check_samples
from tfmpq.measure import sensitivity
from tfmpq.measure.sensitivity import (
    RoundedWeight,
    channel_gains,
    is_probability,
    joined,
    measure_layers,
    output_distance,
)


def prepare(model: Any, images: np.ndarray, *, batch_size: int | None = 1) -> Any:
    floats = load_model(model, batch_size=batch_size)
    data = check_samples(images, floats.inputs)
    graph = load(floats.flatbuffer)
    int8 = load(int8_twin(floats, data)).graph
    layers, _ = find_layers(graph.graph, int8, names=floats.names)
    rng = np.random.default_rng(0)
    rounded = {
        layer.name: RoundedWeight(
            layer.weight + rng.normal(0, 0.05, layer.weight.shape) * np.abs(layer.weight).max(),
            tuple(use.bias + np.float32(0.01) for use in layer.uses),
        )
        for layer in layers
    }
    return graph, layers, rounded, data


@pytest.fixture(scope="module")
def branchy() -> Any:
    """Residual and shared layers, one softmax output."""
    import keras

    keras.utils.set_random_seed(1)
    k = keras.layers
    source = keras.Input((6, 6, 3), name="image")
    trunk = k.Conv2D(8, 3, padding="same", activation="relu", name="stem")(source)
    shared = k.Conv2D(8, 1, name="shared")
    branch = k.DepthwiseConv2D(3, padding="same", activation="relu", name="side")(shared(trunk))
    joined = k.Add()([trunk, shared(branch)])
    output = k.Softmax()(k.Dense(4, name="head")(k.GlobalAveragePooling2D()(joined)))
    images = np.random.default_rng(3).normal(size=(6, 6, 6, 3)).astype(np.float32)
    return prepare(keras.Model(source, output), images)


@pytest.fixture(scope="module")
def two_outputs() -> Any:
    import keras

    keras.utils.set_random_seed(2)
    k = keras.layers
    source = keras.Input((6, 6, 3), name="image")
    trunk = k.Conv2D(8, 3, activation="relu", name="stem")(source)
    first = k.Dense(3, name="first")(k.GlobalAveragePooling2D()(trunk))
    second = k.Conv2D(2, 1, name="second")(trunk)
    images = np.random.default_rng(4).normal(size=(5, 6, 6, 3)).astype(np.float32)
    return prepare(keras.Model(source, [first, second]), images)


def whole_network(graph: Any, layer: Any, new: RoundedWeight | None, data: Any) -> list[np.ndarray]:
    """Outputs of the full float file, with one layer's constants replaced."""
    kept = [list(use.float_op.inputs) for use in layer.uses]
    _, weight, bias = layer.kind.site
    if new is not None:
        for use, values in zip(layer.uses, new.biases, strict=True):
            old = use.float_op.input(weight)
            data_bytes = layer.kind.tensor(new.weight.astype(np.float32), old.shape).tobytes()
            use.float_op.inputs[weight] = Tensor("w", old.shape, old.type, data_bytes)
            use.float_op.inputs[bias:] = [Tensor("b", values.shape, old.type, values.astype(np.float32).tobytes())]
    content = save(graph)
    for use, inputs in zip(layer.uses, kept, strict=True):
        use.float_op.inputs = inputs
    interpreter = make_interpreter(content)
    results = [run(interpreter, feeds) for feeds in data()]
    return [np.stack([r[i] for r in results]) for i in range(len(results[0]))]


@pytest.mark.parametrize("name", ["branchy", "two_outputs"])
def test_cached_prefixes_change_nothing(name: str, request: pytest.FixtureRequest):
    graph, layers, rounded, data = request.getfixturevalue(name)
    before = save(graph)
    costs = measure_layers(graph, layers, rounded, data())
    assert save(graph) == before  # the float model is put back as it was
    plain, even = {}, {}
    for layer in layers:
        reference = whole_network(graph, layer, None, data)
        outputs = whole_network(graph, layer, rounded[layer.name], data)
        probability = name == "branchy"
        plain[layer.name] = output_distance(reference, outputs, probability=probability)
        even[layer.name] = output_distance(reference, outputs, probability=probability, temperature=4.0)
    # All costs together are the plain distances; their proportions are those of outputs at the temperature.
    expected = {layer: sum(plain.values()) * value / sum(even.values()) for layer, value in even.items()}
    assert min(expected.values()) > 0
    # float32 kernels may sum in another order when the graph is cut.
    assert costs == pytest.approx(expected, rel=1e-3)


def test_probability_is_recognized(branchy: Any, two_outputs: Any):
    assert is_probability(branchy[0].graph)
    assert not is_probability(two_outputs[0].graph)


def test_fewer_samples_where_memory_is_short(branchy: Any, monkeypatch: pytest.MonkeyPatch):
    graph, layers, rounded, data = branchy
    monkeypatch.setattr(sensitivity, "MEMORY_CAP", 1)
    few = measure_layers(graph, layers, rounded, data())
    monkeypatch.undo()
    first = measure_layers(graph, layers, rounded, [next(data())])
    assert few == pytest.approx(first, rel=1e-3)


def test_output_distance():
    p, q = np.array([[[0.5, 0.5]]]), np.array([[[0.9, 0.1]]])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert output_distance([p], [q], probability=True) == pytest.approx(expected)
    x = np.array([0.0, 2.0])
    assert output_distance([x, x], [x + 1, x], probability=False) == pytest.approx(1.0)  # variance of x is 1


def test_a_temperature_divides_the_logits():
    logits = np.random.default_rng(0).normal(size=(2, 5, 4)) * 3
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in logits)
    halved = [np.exp(z / 2) / np.exp(z / 2).sum(1, keepdims=True) for z in logits]
    expected = (halved[0] * np.log(halved[0] / halved[1])).sum(1).mean()
    # The floor under probabilities, 1e-12, is felt where they are small.
    assert output_distance([p], [q], probability=True, temperature=2.0) == pytest.approx(expected, rel=1e-4)


def test_channel_gains_share_the_cost_out():
    errors = np.array([[4.0, 1.0, 0.0], [1.0, 1.0, 0.0]])  # with one and two points
    plain = channel_gains(errors, 10.0, None)
    np.testing.assert_allclose(plain[:, 0], [6.0, 0.0, 0.0])  # 10 * 3 / 5
    weighted = channel_gains(errors, 10.0, np.array([1.0, 6.0, 1.0]))
    np.testing.assert_allclose(weighted[:, 0], [3.0, 0.0, 0.0])  # 10 * 3 / (4 + 6)
    assert not channel_gains(np.zeros((2, 3)), 1.0, None).any()


def test_open_batch_with_a_dilated_convolution():
    """Cut behind SPACE_TO_BATCH_ND, the batch is a multiple of the one on file."""
    import keras

    keras.utils.set_random_seed(3)
    source = keras.Input((6, 6, 3), name="image")
    x = keras.layers.Conv2D(4, 3, dilation_rate=2, padding="same", name="dilated")(source)
    model = keras.Model(source, keras.layers.Conv2D(2, 1, name="head")(x))
    images = np.random.default_rng(4).normal(size=(5, 6, 6, 3)).astype(np.float32)
    costs = []
    for size in (1, None):
        graph, layers, rounded, _ = prepare(model, images, batch_size=size)
        costs.append(measure_layers(graph, layers, rounded, [{"image": image[None]} for image in images]))
    closed, opened = costs
    assert opened == pytest.approx(closed, rel=1e-4)  # float32 kernels on other shapes


def test_outputs_of_several_sizes_are_joined_position_by_position():
    rng = np.random.default_rng(0)
    runs = [[rng.random((1, n, 4)), rng.random((1, n, n))] for n in (2, 5)]
    first, second = joined(runs)
    assert np.array_equal(first, np.concatenate([runs[0][0].reshape(-1, 4), runs[1][0].reshape(-1, 4)]))
    assert second.shape == (4 + 25, 1)
    (stacked,) = joined([run[:1] for run in runs[:1] * 3])
    assert stacked.shape == (3, 1, 2, 4)
