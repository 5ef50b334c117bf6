from __future__ import annotations

import math

import numpy as np
import pytest

from tfmpq.report.output_channels import ChannelSums, OutputChannels

RNG = np.random.default_rng(0)
VALUES = RNG.uniform(0, 1, (3, 8, 6)) * [300, 300, 1, 1, 0.001, 0] + [0, 0, 6, 0, 0, 2]
HELD = np.round(VALUES / 3) * 3


def summed(values: np.ndarray, held: np.ndarray) -> OutputChannels:
    """Of samples along the first axis."""
    sums = ChannelSums()
    for i in range(len(values)):
        sums.add(values[i : i + 1], held[i : i + 1])
    return sums.result()


@pytest.mark.parametrize("in_front", [False, True])
def test_channels_that_never_change_and_what_half_of_them_keep(in_front):
    values, held = VALUES, HELD
    if in_front:  # then they are fewer than positions
        values, held = (np.moveaxis(np.concatenate([x] * 3, axis=1), 1, 2) for x in (values, held))
    found = summed(values, held)
    # Two of ones are lost; what varies by a thousandth is no loss, and a constant is none.
    assert (found.count, found.still, found.of) == (4, 2, 6)
    signal, noise = ((x**2).reshape(-1, 6).sum(axis=0)[:4] for x in (VALUES, VALUES - HELD))
    ratios = 10 * np.log10(signal / noise)
    assert found.median_db == pytest.approx(np.sort(ratios)[1])


def test_equal_values_single_vectors_and_what_has_no_channels():
    assert summed(VALUES, VALUES) == OutputChannels(4, 0, 6, math.inf)
    assert summed(VALUES[:, 0], HELD[:, 0]).still == 2
    assert summed(VALUES[:1, 0], HELD[:1, 0]) == OutputChannels(0, 0, 6, None)  # one sample, one value a channel
    nothing = OutputChannels(0, 0, 0, None)
    assert summed(VALUES[:, 0, 0], HELD[:, 0, 0]) == nothing
    assert summed(VALUES, HELD[:, :4]) == nothing
    assert ChannelSums().result() == nothing
