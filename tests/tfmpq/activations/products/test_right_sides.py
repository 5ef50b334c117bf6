"""Right sides of products get zero point 0 where fast kernels want it, and outputs hardly notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfmpq
from converters.errors import RecipeError
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import make_interpreter
from converters.targets import load_target
from converters.tflite.file import File
from converters.tflite.graph import Op
from tests.support.activation_cases import case_of, output_of, sqnr
from tfmpq.activations import mend
from tfmpq.activations.base import base_of
from tfmpq.activations.products.right_sides import mend_right_sides, symmetric
from tfmpq.activations.subject import Case, Subject
from tfmpq.recipe.rules import Rule

DATA = np.random.default_rng(0).normal(size=(40, 24, 32)).astype(np.float32)


def attention(*, positive: bool = False, swapped: bool = False) -> Any:
    """Attention of one head; its values all positive, or its softmax on the right."""
    keras.utils.set_random_seed(0)
    x = keras.Input((24, 32), name="x")
    query, key, value = (layers.Dense(32, name=name)(x) for name in ("query", "key", "value"))
    value = ops.relu(value) if positive else value
    dots: Any = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
    scores = ops.softmax(dots / 6)
    mixed = ops.matmul(ops.transpose(value, (0, 2, 1)), scores) if swapped else ops.matmul(scores, value)
    return keras.Model(x, layers.Dense(8, name="head")(mixed))


def products(file: File) -> list[Op]:
    return [op for op in file.graph.ops if op.name == "BATCH_MATMUL"]


def zero_points(file: File) -> list[int]:
    return [op.input(1).zero_point for op in products(file)]


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(attention(), DATA)


@pytest.mark.parametrize("span", [(-3.0, 2.0), (-1.0, 7.3), (0.0, 1e-3), (-400.0, 0.0), (-1.27, 1.27)])
def test_tensorflow_chooses_zero_point_0(case: Case, span: tuple[float, float]):
    low, high = symmetric(span)
    assert low <= span[0] <= span[1] <= high
    subject = mend_right_sides(Subject(case.model), case)
    ranges = dict.fromkeys(subject.ranges, (low, high))
    assert ranges
    base = base_of(replace(subject, ranges=ranges), case)
    step = max(span[1] / 127, -span[0] / 128)
    for op in products(base):
        assert op.input(1).zero_point == 0
        assert op.input(1).scale == pytest.approx(step, rel=1e-6)  # TensorFlow holds both ends in float32


def test_both_sides_of_attention_are_taken(case: Case):
    assert 0 not in zero_points(case.stock)  # the point of the test
    done = mend_right_sides(Subject(case.model), case)
    base = base_of(done, case)
    assert zero_points(base) == [0, 0]
    left = {base.graph.ops[number].name for number, _ in delegate_coverage(make_interpreter(base.content)).left}
    assert "BATCH_MATMUL" not in left
    (entry,) = done.mended
    assert (entry.kind, entry.where) == ("symmetric", "key, value")
    assert "right side of 2 products" in entry.why
    right = output_of(case.float_model.flatbuffer, case.data.held_out)
    stock, found = (sqnr(right, output_of(f.content, case.data.held_out)) for f in (case.stock, base))
    assert found > stock - 1  # half a dB on the samples that it was decided on


def test_a_sided_range_is_left_where_outputs_would_lose(monkeypatch: pytest.MonkeyPatch):
    case = case_of(attention(positive=True), DATA)
    monkeypatch.setattr("tfmpq.activations.products.right_sides._LOSS", -99.0)
    assert mend_right_sides(Subject(case.model), case).ranges == {}
    monkeypatch.setattr("tfmpq.activations.products.right_sides._LOSS", 99.0)
    assert len(mend_right_sides(Subject(case.model), case).ranges) == 2


def test_what_a_softmax_writes_stays(case: Case):
    other = case_of(attention(swapped=True), DATA)
    base = base_of(mend_right_sides(Subject(other.model), other), other)
    assert sorted(zero_points(base)) == [-128, 0]
    asked = replace(other, recipe=tfmpq.Recipe([Rule("/Softmax", activations="symmetric")]))
    with pytest.raises(RecipeError, match=r"fixed scale.*put it on the left"):
        mend_right_sides(Subject(other.model), asked)


def test_nothing_is_done_where_it_does_not_pay(case: Case):
    subject = Subject(case.model)
    assert mend_right_sides(subject, replace(case, target=load_target("builtin"))).ranges == {}
    minmax = replace(case, options=replace(case.options, ranges="minmax"))
    assert mend_right_sides(subject, minmax) is subject
    both = tfmpq.Recipe([Rule("^(key|value)$", activations="int8")])
    assert mend_right_sides(subject, replace(case, recipe=both)).ranges == {}


def test_rules_win(case: Case):
    minmax = replace(case.options, ranges="minmax")
    asked = replace(case, options=minmax, recipe=tfmpq.Recipe([Rule("^value$", activations="symmetric")]))
    base = base_of(mend_right_sides(Subject(case.model), asked), asked)
    assert zero_points(base)[1] == 0 != zero_points(base)[0]
    by_hand = replace(case, recipe=tfmpq.Recipe([Rule("^value$", range=(-1.0, 3.0))]))
    found = mend.mend_activations(by_hand)
    assert zero_points(found.base)[0] == 0
    assert products(found.base)[1].input(1).scale == pytest.approx(4 / 255, rel=1e-6)  # float32
    rules = [Rule("^value$", range=(-1.0, 3.0)), Rule("^value$", activations="symmetric")]
    with pytest.raises(RecipeError, match="another rule sets"):
        mend.mend_activations(replace(case, recipe=tfmpq.Recipe(rules)))


def test_any_activation_may_be_symmetric(case: Case):
    rules = tfmpq.Recipe([Rule("^query$", activations="symmetric")])
    file = base_of(mend_right_sides(Subject(case.model), replace(case, recipe=rules)), case)
    assert products(file)[0].input(0).zero_point == 0


def test_models_without_products_are_not_looked_at():
    keras.utils.set_random_seed(0)
    x = keras.Input((8,))
    case = case_of(keras.Model(x, layers.Dense(4)(x)), np.ones((8, 8), np.float32))
    subject = Subject(case.model)
    assert mend_right_sides(subject, case) is subject
