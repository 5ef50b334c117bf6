from __future__ import annotations

import numpy as np

from tfmpq.report.still_channels import Spans, still_channels

RNG = np.random.default_rng(0)


def spans(*samples: list[np.ndarray]) -> Spans:
    result = Spans()
    for sample in samples:
        result.add(sample)
    return result


def counted(float_values: np.ndarray, held: np.ndarray) -> tuple[int, int]:
    """Of one output, given for two samples."""
    ((still, channels),) = still_channels(*(spans([values[:1]], [values[1:]]) for values in (float_values, held)))
    return still, channels


def test_channels_that_never_change_in_integers():
    values = RNG.uniform(0, 1, (2, 5, 6)) * [300, 300, 1, 1, 0.001, 0]
    held = np.round(values / 3) * 3
    # 1 and 1 are lost; what varies by a thousandth is no loss, and a constant is none
    assert counted(values, held) == (2, 6)
    assert counted(values, values) == (0, 6)
    assert counted(np.moveaxis(values, 1, 2), np.moveaxis(held, 1, 2)) == (2, 6)  # channels in front
    assert counted(values[:, 0], held[:, 0]) == (2, 6)  # one vector a sample


def test_outputs_of_changing_size_and_single_numbers():
    one, other = np.zeros((1, 3)), np.zeros((2, 3))
    assert still_channels(spans([one], [other]), spans([one], [other])) == ((0, 0),)
    assert still_channels(spans([np.zeros(1)], [np.ones(1)]), spans([np.zeros(1)], [np.zeros(1)])) == ((0, 0),)
