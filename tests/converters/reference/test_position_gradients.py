from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.frontend.dynamic_file import dynamic_file
from converters.frontend.load import load_model
from converters.layers.find import find_layers
from converters.reference.position_gradients import Relevance, relevant_positions
from converters.rewriting.lookups import with_lookups
from converters.tflite.reader import load

LENGTH, WIDTH = 6, 32  # weights of 1,024 numbers: smaller ones stay in float, and are no layers


def _relevance(build: Any, masks: list[int]) -> Relevance:
    """Of a network of a sequence and a mask, for samples that show the first ``masks`` positions."""
    import keras

    keras.utils.set_random_seed(2)
    x, mask = keras.Input((LENGTH, WIDTH), name="x"), keras.Input((LENGTH,), name="mask")
    float_model = load_model(keras.Model([x, mask], build(x, mask)), batch_size=1, trust=True)
    model = with_lookups(load(float_model.flatbuffer))
    layers, _ = find_layers(model.graph, dynamic_file(model).graph)
    rng = np.random.default_rng(0)
    samples = [
        {
            "x": rng.normal(size=(1, LENGTH, WIDTH)).astype(np.float32),
            "mask": (np.arange(LENGTH) < shown).astype(np.float32)[None],
        }
        for shown in masks
    ]
    return relevant_positions(model.graph, layers, samples, dict(model.signatures[0].inputs))


def _blocks(x: Any, mask: Any, *, pooled: bool = True) -> Any:
    from keras import layers, ops

    allowed = ops.cast(ops.expand_dims(mask, 1), "bool")
    y = layers.Dense(WIDTH, name="first")(x)
    y = y + layers.MultiHeadAttention(2, 16, name="attention")(y, y, attention_mask=allowed)
    y = layers.Dense(WIDTH, activation="tanh", name="last")(y)
    weight = ops.expand_dims(mask, -1)
    return ops.sum(y * weight, axis=1) if pooled else y


@pytest.mark.filterwarnings("ignore")
def test_positions_behind_a_mask_do_not_count() -> None:
    found = _relevance(_blocks, [6, 3, 1])
    names = [name for name in found if "first" in name or "last" in name or "value" in name]
    assert len(names) == 3
    for name in names:
        for shown, mask in zip([6, 3, 1], found[name], strict=True):
            np.testing.assert_array_equal(mask, np.arange(LENGTH) < shown, err_msg=name)


def test_where_all_count_there_is_nothing_to_say() -> None:
    assert not _relevance(_blocks, [6, 6])


def test_only_what_is_pooled_counts_in_the_last_layer() -> None:
    def build(x: Any, mask: Any) -> Any:
        return _blocks(x, mask, pooled=False)[:, 0] + 0 * mask[:, :1]

    found = _relevance(build, [4])
    (last,) = (masks for name, masks in found.items() if "last" in name)
    np.testing.assert_array_equal(last[0], np.arange(LENGTH) < 1)
    (first,) = (masks for name, masks in found.items() if "first" in name)
    np.testing.assert_array_equal(first[0], np.arange(LENGTH) < 4)  # the others through attention
