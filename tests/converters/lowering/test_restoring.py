"""Rows in another order, put back behind the pooling: the same integers as in the stock file."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from converters.layers.permutation import permute_graph
from converters.layers.restoring import restorable_groups
from converters.lowering.restoring import restore_order
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.pipeline import Converted, convert_once, random_vectors, run_raw


@cache
def pooled(softmax: bool) -> Converted:
    import keras

    k = keras.layers
    tail: list[Any] = [k.ReLU(), k.GlobalAveragePooling2D(), *([k.Softmax()] if softmax else [])]
    model = keras.Sequential([keras.Input((6, 6, 4), name="x"), k.Conv2D(8, 1), k.Conv2D(12, 1, name="logits"), *tail])
    values = np.random.default_rng(0).normal(size=(8, 1, 6, 6, 4)).astype(np.float32)
    return convert_once(random_vectors(model), [{"x": v} for v in values])


@pytest.mark.parametrize("softmax", [False, True])
def test_order_is_put_back_at_the_pooled_vector(softmax: bool):
    found = pooled(softmax)
    model = load(found.network.stock.content)
    graph = model.graph
    groups = restorable_groups(graph)
    (group,) = {g for segments in groups.values() for g in segments if g.restored_at}
    assert group.frozen is None
    (tensor,) = group.restored_at
    assert tensor.shape == (1, 12)
    order = np.random.default_rng(1).permutation(12)
    permute_graph(graph, groups, {group: order})
    restore_order(graph, tensor, order)
    names = [op.name for op in graph.ops]
    assert names[names.index("MEAN") + 1] == "GATHER"
    for ours, stock in zip(
        run_raw(save(model), found.samples), run_raw(found.network.stock.content, found.samples), strict=True
    ):
        np.testing.assert_array_equal(ours, stock)


def test_nothing_is_inserted_for_the_models_own_order():
    graph = load(pooled(True).network.stock.content).graph
    before = list(graph.ops)
    restore_order(graph, before[-2].outputs[0], np.arange(12))
    assert graph.ops == before
