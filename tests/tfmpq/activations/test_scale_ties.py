"""Who reads what has a scale, so that a range for it harms nobody."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.support.activation_cases import case_of
from tfmpq.activations.scale_ties import ties_of
from tfmpq.activations.subject import Case, Subject


@pytest.fixture(scope="module")
def case() -> Case:
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 4), name="x")
    first, second = (layers.Conv2D(4, 3, padding="same", name=f"conv_{i}")(x) for i in (1, 2))
    pooled = layers.MaxPooling2D(2, name="pool")(layers.Concatenate(name="join")([first, second]))
    flat = layers.Reshape((16, 8), name="flat")(layers.Conv2D(8, 1, name="middle")(pooled))
    y: Any = ops.transpose(flat, (0, 2, 1))
    total: Any = ops.sum(x)
    z: Any = ops.where(total > 0, ops.tanh(y), ops.maximum(layers.Dense(16, name="dense")(y), 0.1))
    z = layers.Dense(5, name="head")(z + y)
    model = keras.Model(x, layers.Softmax(name="soft")(z), name="net")
    return case_of(model, np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype(np.float32))


def test_who_reads_what_has_the_scale(case: Case):
    subject, ties = ties_of(Subject(case.model), case)
    assert subject.owners == ties.owners
    model = case.model
    join = next(op for op in model.graph.ops if op.name == "CONCATENATION")
    # The pool hands on the scale of the join, and what is read is what it makes of it.
    reader = next(op for op in model.graph.ops if "middle" in op.outputs[0].name)
    for tensor in join.inputs:
        assert tensor is not None
        assert ties.owner(tensor) == join.outputs[0].name
    assert ties.only_for(join.outputs[0].name, [reader])
    assert not ties.only_for(join.outputs[0].name, [])
    middle = next(t.name for t in model.graph.producers() if "middle" in t.name)
    dense = [op for op in model.graph.ops if op.name == "FULLY_CONNECTED"]
    assert not ties.only_for(middle, dense)  # the sum reads it as well
