"""Orders of samples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfmpq.training.orders import orders


def epochs_of(seed: int, *, whole: bool = False) -> list[list[int]]:
    """Rows 10..16 in batches of 3, two epochs."""
    return [batch.tolist() for batch in orders(np.arange(10, 17), 3, 2, seed, whole=whole).as_numpy_iterator()]


def test_every_epoch_has_all_rows_in_an_order_of_its_own():
    found = epochs_of(1)
    assert [len(batch) for batch in found] == [3, 3, 1, 3, 3, 1]
    first, second = ([row for batch in epoch for row in batch] for epoch in (found[:3], found[3:]))
    assert sorted(first) == sorted(second) == [*range(10, 17)]
    assert first != second
    assert epochs_of(2) != found


def test_whole_batches():
    assert [len(batch) for batch in epochs_of(1, whole=True)] == [3, 3, 3, 3]


@pytest.mark.parametrize("other", [1, 7])
def test_only_the_own_seed_counts(other: int):
    found = epochs_of(1)
    try:
        tf.random.set_seed(other)
        assert epochs_of(1) == found
    finally:
        tf.random.set_seed(0)
