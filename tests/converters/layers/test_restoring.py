from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.layers.restoring import restorable_groups
from tests.support.pipeline import convert_once


def restored(build: Any) -> list[tuple[int, ...]]:
    """Shapes of the tensors at which the order of a network's rows can be put back."""
    import keras

    x = keras.Input((4, 4, 4), name="x")
    feeds = [{"x": v} for v in np.random.default_rng(0).normal(size=(4, 1, 4, 4, 4)).astype(np.float32)]
    groups = restorable_groups(convert_once(keras.Model(x, build(x, keras.layers)), feeds).network.stock.graph)
    return [t.shape for g in {g for segments in groups.values() for g in segments} for t in g.restored_at]


def _two_readers(x: Any, k: Any) -> list[Any]:
    y = k.Conv2D(6, 1)(x)
    return [k.GlobalAveragePooling2D()(y), k.ReLU()(y)]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda x, k: k.GlobalAveragePooling2D()(k.Conv2D(6, 1)(x)), [(1, 6)]),
        (lambda x, k: k.Softmax()(k.Flatten()(k.MaxPooling2D(4)(k.Conv2D(6, 1)(x)))), [(1, 1, 1, 6)]),
        (lambda x, k: k.Dense(6)(k.Flatten()(x)), []),  # its own output is the smallest
        (lambda x, k: k.Conv2D(6, 1)(x), []),
        (lambda x, k: k.Dense(3)(k.GlobalAveragePooling2D()(k.Conv2D(6, 1)(x))), []),  # free: columns follow
        (_two_readers, []),
    ],
    ids=["pooled", "flattened", "dense", "map", "free", "two readers"],
)
def test_where_order_can_be_put_back(build: Any, expected: list[tuple[int, ...]]):
    assert restored(build) == expected
