"""The order of channels is found by what they compute."""

from __future__ import annotations

import numpy as np
import pytest

from converters.tflite.graph import Graph, Tensor
from tests.support.op_models import activation, add_op, bias, concat_op, layer_op, weight
from tfmpq.analysis.channel_match import ChannelMatcher

CHANNELS = 24
ORDER = np.random.default_rng(7).permutation(CHANNELS)


def conv(source: Tensor, name: str, channels: int = CHANNELS, kind: str = "conv") -> tuple[Tensor, object]:
    result = activation(name, (1, 6, 6, channels), 0.1, 0)
    shape = (channels, 1, 1, source.shape[-1]) if kind == "conv" else (1, 1, 1, channels)
    kernel = weight(f"{name}/w", kind, np.ones(shape), np.full(channels, 0.01))  # type: ignore[arg-type]
    return result, layer_op(kind, source, kernel, bias(f"{name}/b", np.zeros(channels), source, kernel), result)  # type: ignore[arg-type]


def network() -> tuple[Graph, dict[str, Tensor]]:
    """Layers a, depthwise d and b in a row, s = a + b, and a last convolution."""
    x = activation("x", (1, 6, 6, 3), 0.1, 0)
    a, first = conv(x, "a")
    d, second = conv(a, "d", kind="depthwise")
    b, third = conv(d, "b")
    s = activation("s", (1, 6, 6, CHANNELS), 0.1, 0)
    y, last = conv(s, "y", 10)
    ops = [first, second, third, add_op(a, b, s), last]
    return Graph([x], [y], ops), {"a": a, "d": d, "b": b, "s": s, "y": y}  # type: ignore[arg-type]


def values(seed: int, channels: int = CHANNELS) -> np.ndarray:
    return np.maximum(np.random.default_rng(seed).normal(size=(1, 6, 6, channels)), 0)


@pytest.mark.parametrize("lowered", [False, True])
def test_a_permutation_is_found_under_noise(lowered):
    graph, tensors = network()
    found = ChannelMatcher(graph, [tensors["a"]], [CHANNELS], lowered=lowered)
    for seed in range(4):
        real = values(seed)
        found.add(0, real, real[..., ORDER] + np.random.default_rng(seed + 50).normal(scale=0.4, size=real.shape))
    (order,) = found.orders()
    np.testing.assert_array_equal(order, ORDER)


@pytest.mark.parametrize("lowered", [False, True])
def test_channels_in_their_places_stay_there(lowered):
    graph, tensors = network()
    found = ChannelMatcher(graph, [tensors["a"]], [CHANNELS], lowered=lowered)
    noise = np.random.default_rng(9).normal(scale=3, size=(1, 6, 6, CHANNELS))  # drowns everything
    found.add(0, values(0), values(0) + noise)
    assert found.orders() == [None]


@pytest.mark.parametrize("lowered", [False, True])
def test_tied_channels_have_one_order(lowered):
    """The convolution b is broken, its channels say nothing; but it adds up with a, whose channels do."""
    graph, tensors = network()
    names = ("a", "d", "b", "s")
    found = ChannelMatcher(graph, [tensors[n] for n in names], [CHANNELS] * 4, lowered=lowered)
    for seed in range(4):
        for pair, name in enumerate(names):
            real = values(seed + 10 * pair)
            found.add(pair, real, values(seed + 100) if name == "b" else real[..., ORDER])
    for order in found.orders():
        np.testing.assert_array_equal(order, ORDER)


def test_graph_outputs_keep_their_order():
    graph, tensors = network()
    found = ChannelMatcher(graph, [tensors["y"]], [10], lowered=False)
    found.add(0, values(0, 10), values(0, 10)[..., ::-1])
    assert found.orders() == [None]


def test_concatenated_pieces_are_ordered_one_by_one():
    x = activation("x", (1, 6, 6, 3), 0.1, 0)
    (a, first), (b, second) = conv(x, "a"), conv(x, "b")
    joined = activation("joined", (1, 6, 6, 2 * CHANNELS), 0.1, 0)
    y, last = conv(joined, "y", 10)
    graph = Graph([x], [y], [first, second, concat_op([a, b], joined, axis=3), last])  # type: ignore[list-item]
    found = ChannelMatcher(graph, [joined], [2 * CHANNELS], lowered=False)
    real = values(0, 2 * CHANNELS)
    order = np.concatenate([ORDER, CHANNELS + np.arange(CHANNELS)])
    found.add(0, real, real[..., order])
    np.testing.assert_array_equal(found.orders()[0], order)


def test_dead_channels_are_no_reason_to_move_anything():
    graph, tensors = network()
    found = ChannelMatcher(graph, [tensors["a"]], [CHANNELS], lowered=False)
    real = values(0)
    real[..., ::2] = 0
    found.add(0, real, real)
    assert found.orders() == [None]
