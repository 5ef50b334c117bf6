import numpy as np
import pytest

from tfmpq.activations.outputs.channel_loss import ChannelSums, channel_axes, channel_ranges
from tfmpq.activations.values.int8_values import rounded

RNG = np.random.default_rng(0)


def sums_of(values: np.ndarray) -> ChannelSums:
    """Channels last, held by one scale."""
    sums = ChannelSums(values.shape[-1])
    for half in np.split(values, 2):
        sums.add(half, rounded(half, float(values.min()), float(values.max())), 1)
    return sums


def test_rounding_is_that_of_the_runtime():
    values = RNG.uniform(-3, 10, 1000).astype(np.float32)
    made = rounded(values, -3, 10)
    assert len(np.unique(np.round(made / (13 / 255)))) <= 256
    assert np.abs(made - values).max() <= 13 / 255  # half a step, and as much where zero is moved onto the grid
    assert rounded(np.zeros(3, np.float32), 5, 10).tolist() == [0, 0, 0]  # zero is always covered
    assert rounded(np.array([20.0], np.float32), 0, 10)[0] == pytest.approx(10)  # saturates


@pytest.mark.parametrize(("size", "lost"), [(0.3, True), (1.5, True), (20.0, False), (100.0, False)])
def test_channels_of_so_many_steps(size: float, lost: bool):
    values = RNG.uniform(-1, 1, (400, 4)) * [127, 127, 127, size]  # one step is about one
    sums = sums_of(values.astype(np.float32))
    assert sums.lost.tolist() == [False, False, False, lost]
    assert sums.constant[3] == (size < 0.5)
    assert sums.size[3] == pytest.approx(size, rel=0.02)


def test_what_is_not_lost():
    values = RNG.uniform(-127, 127, (400, 3)).astype(np.float32)
    values[:, 1] = 0.2  # never varies
    values[:, 2] = np.where(RNG.uniform(size=400) < 0.02, 60, 0.1)  # peaks, mostly near zero
    assert sums_of(values).lost.tolist() == [False, False, False]


def test_words_and_axes():
    assert channel_ranges(np.array([0, 1, 2, 5, 7, 8, 11])) == "0..2, 5, 7..8, ..."
    assert [channel_axes((1,) * n) for n in (1, 2, 3, 4)] == [(), (1,), (2, 1), (3,)]
