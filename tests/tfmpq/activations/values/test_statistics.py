from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import tfmpq
from converters.frontend.load import load_model
from converters.tflite.graph import Tensor, TensorType
from converters.tflite.probe import probe
from converters.tflite.reader import load
from tests.support.keras_nets import data, sequence
from tests.support.pipeline import run_real
from tfmpq.activations.values import inner_values
from tfmpq.activations.values.statistics import ChannelStatistics, cautious, channel_statistics, within


@pytest.mark.parametrize("memory", [1, 1 << 28])  # every activation in a run of its own, or all in one
def test_statistics_are_those_of_all_values(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner_values, "_MEMORY", memory)
    keras.utils.set_random_seed(0)
    x = layers.Input((6, 6, 3))
    model = load(load_model(keras.Model(x, layers.Conv2D(2, 1)(layers.LeakyReLU()(layers.Conv2D(4, 3)(x))))).flatbuffer)
    rng = np.random.default_rng(0)
    name = model.signatures[0].inputs[0][0]
    feeds = [{name: rng.normal(size=(1, 6, 6, 3)).astype("float32")} for _ in range(5)]
    found = channel_statistics(model, feeds)

    tensors = [t for op in model.graph.ops for t in op.outputs]
    assert set(found) == {*tensors, *model.graph.inputs}
    values = {t: run_real(probe(model, [t]), feeds)[0].astype(np.float64) for t in tensors}
    values[model.graph.inputs[0]] = np.concatenate([f[name] for f in feeds])
    for tensor, array in values.items():
        rows = array.reshape(-1, array.shape[-1])
        own = found[tensor]
        np.testing.assert_array_equal(own.low, rows.min(0))
        np.testing.assert_array_equal(own.high, rows.max(0))
        # Sums of a sample's few hundred squares in float32.
        np.testing.assert_allclose(own.mean, rows.mean(0), atol=1e-6)
        np.testing.assert_allclose(own.variance, rows.var(0), rtol=1e-4)


def test_ends_within_others() -> None:
    keras.utils.set_random_seed(0)
    x = layers.Input((3,))
    model = load(load_model(keras.Model(x, layers.Dense(2)(x))).flatbuffer)
    name = model.signatures[0].inputs[0][0]
    feeds = [{name: np.full((1, 3), v, "float32")} for v in (1, -2)]
    both = channel_statistics(model, feeds)
    one = within(channel_statistics(model, feeds[:1]), both)
    (given,) = model.graph.inputs
    assert (one[given].low == -2).all()
    assert (one[given].mean == 1).all()


def test_of_channels_that_are_rarely_active_little_is_known() -> None:
    rng = np.random.default_rng(0)
    rows = np.abs(rng.normal(size=(1000, 3)))
    rows[3:, 1] = 0
    rows[:, 2] = 0
    own = ChannelStatistics(rows.min(0), rows.max(0), rows.mean(0), np.square(rows).mean(0), len(rows))
    unseen = np.abs(rng.normal(size=100_000)).max() / own.high[0]
    assert own.growth[0] == pytest.approx(unseen, rel=0.1)
    assert own.growth[1] > 1.3 * own.growth[0]
    tensor = Tensor("t", (1, 3), TensorType.FLOAT32)
    wider = cautious({tensor: own})[tensor]
    assert wider.high[0] == own.high[0]
    assert wider.high[1] > 1.3 * own.high[1]
    assert wider.high[2] == 0


def test_channels_of_computed_sizes_are_left_out() -> None:
    """With an open batch Dense behind a 1-D convolution reshapes to sizes that the file does not hold."""
    net = sequence()
    samples = data(net, 40)
    model = load(load_model(net, batch_size=None).flatbuffer)
    name = model.signatures[0].inputs[0][0]
    found = channel_statistics(model, [{name: samples[:1]}])
    is_open = [t for t in model.graph.tensors() if t.shape_signature is not None and t.shape_signature[-1:] == (-1,)]
    assert is_open
    assert not set(is_open) & set(found)
    assert all(len(known.low) == tensor.shape[-1] for tensor, known in found.items())
    result = tfmpq.convert(net, samples, batch_size=None, lowering="split", progress=False)
    assert result.report.validation is not None
