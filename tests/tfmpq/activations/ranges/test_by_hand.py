"""Ranges set by rules: the file has the scale asked for, or an error says why not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import tfmpq
from converters.errors import RecipeError
from converters.tflite.reader import load
from tests.support.activation_cases import case_of
from tfmpq.activations.ranges.by_hand import set_ranges
from tfmpq.activations.subject import Case, Subject
from tfmpq.recipe.rules import Rule

DATA = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)


def network() -> Any:
    """A fused activation and sum, a join, a layer of several operators, outputs of fixed scale, integers."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3), name="image")
    y = layers.ReLU(6.0, name="cap")(layers.Conv2D(8, 3, padding="same", name="stem")(x))
    y = layers.ReLU(name="act")(layers.Add(name="sum")([y, layers.Conv2D(8, 1, name="branch")(y)]))
    y = layers.LayerNormalization(name="norm")(y)
    y = layers.Concatenate(name="join")([layers.Conv2D(4, 1, name=name)(y) for name in ("left", "right")])
    y = layers.GlobalAveragePooling2D(name="mean")(y)
    votes: Any = layers.Dense(3, name="votes")(y)
    above = ops.cast(votes > 0, "int32")
    return keras.Model(x, [layers.Dense(5, name="head", activation="softmax")(y), above], name="net")


@pytest.fixture(scope="module")
def model() -> Any:
    return network()


def scales(content: bytes) -> dict[str, tuple[float, int]]:
    single = (t for t in load(content).graph.tensors() if t.data is None and t.quantization is not None)
    return {t.name: (t.scale, t.zero_point) for t in single if t.quantization and t.quantization.scale.size == 1}


def test_the_file_has_the_scales_asked_for(model: Any):
    rules = [
        Rule("^image$", range=(-1.0, 1.55)),
        Rule("^cap$", range=(0.0, 5.1)),  # fused into the convolution
        Rule("^act$", range=(0.0, 9.0)),
        Rule("^act$", range=(0.0, 10.2)),  # the last one counts
        Rule("^join$", range=(-2.0, 3.1)),
        Rule("norm_1/Rsqrt", range=(0.0, 20.4)),  # inside of a layer: by the tensor's name
    ]
    result = tfmpq.convert(model, DATA, recipe=tfmpq.Recipe(rules), bits=8, progress=False)
    found = scales(result.tflite_model)
    wanted = {
        "serving_default_image": (0.01, -28),
        "stem": (0.02, -128),
        "sum": (0.04, -128),
        "join": (0.02, -28),
        "left": (0.02, -28),  # joined values have one scale
        "Rsqrt": (0.08, -128),
    }
    for part, (scale, zero_point) in wanted.items():
        (name,) = (n for n in found if part in n)
        assert found[name] == (pytest.approx(scale, rel=1e-6), zero_point), name  # a float32
    stock = scales(result.stock_model)
    (norm,) = (n for n in found if "norm_1/add_" in n)
    assert found[norm] == stock[norm]  # a rule for another tensor of the layer does not touch it


def case(model: Any, *rules: Rule) -> Case:
    return case_of(model, DATA, *rules)


def test_a_layer_is_what_it_hands_on(model: Any):
    given = case(model, Rule("^norm$", range=(-9.0, 9.0)))
    done = set_ranges(Subject(given.model, {"other": (0.0, 1.0)}), given)
    assert done.ranges.pop("other") == (0.0, 1.0)  # type: ignore[attr-defined]
    ((name, span),) = done.ranges.items()
    assert "norm_1/add_" in name
    assert span == (-9.0, 9.0)
    (entry,) = done.mended
    assert (entry.kind, entry.where) == ("range", "norm")
    assert "0.00% of the values are clipped" in entry.why
    assert entry.before_db is not None
    assert entry.after_db is not None
    assert entry.before_db > entry.after_db > 20  # wider than need be, by no more than 3 times


def test_a_range_by_hand_replaces_others(model: Any):
    given = case(model, Rule("^cap$", range=(0.0, 3.0)))
    (name,) = (t.name for op in given.model.graph.ops for t in op.outputs if "cap" in t.name)
    assert set_ranges(Subject(given.model, {name: (0.0, 1.0)}), given).ranges == {name: (0.0, 3.0)}


def test_a_part_of_what_a_rule_matches_may_have_no_range(model: Any):
    given = case(model, Rule("^(head|cap)$", range=(0.0, 3.0)))
    done = set_ranges(Subject(given.model), given)
    assert len(done.ranges) == 1
    (warning,) = done.warnings
    assert "SOFTMAX, which writes 'head'" in warning.text


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([Rule("^head$", range=(0.0, 1.0))], r"rule '\^head\$'.*SOFTMAX, which writes 'head'.*has a fixed range"),
        ([Rule("Greater", range=(0.0, 1.0))], r"rule 'Greater'.*holds integers"),
        ([Rule("^cap$", range=(-9.0, -7.0))], r"holds no value of 'cap'.*they lie from 0 to"),
        ([Rule("^nothing$", range=(0.0, 1.0))], r"matches no layer, input or tensor"),
        (
            [Rule("^left$", range=(0.0, 1.0)), Rule("^right$", range=(0.0, 2.0))],
            r"'\^left\$' and '\^right\$'.*one scale.*Give both the same range",
        ),
    ],
)
def test_ranges_that_cannot_be_used(model: Any, rules: list[Rule], message: str):
    given = case(model, *rules)
    with pytest.raises(RecipeError, match=message):
        set_ranges(Subject(given.model), given)
