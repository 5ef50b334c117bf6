"""What outputs are, by how they end, and what is refused."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from converters.errors import OptionError
from tests.support.keras_nets import data, separable, shared
from tfmpq.training import lg_lsq
from tfmpq.training.output_kinds import kinds_of

layers = keras.layers


def ending(*last: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), *last])


def by_operation(function: Any) -> Any:
    entry = keras.Input((4,))
    return keras.Model(entry, function(layers.Dense(3)(entry)))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (ending(layers.Dense(3, activation="softmax")), "probabilities"),
        (ending(layers.Dense(3), layers.Softmax()), "probabilities"),
        (ending(layers.Dense(3), layers.Activation("softmax")), "probabilities"),
        (by_operation(keras.ops.softmax), "probabilities"),
        (ending(ending(layers.Dense(3, activation="softmax"))), "probabilities"),
        (ending(layers.Reshape((2, 2)), layers.Softmax(axis=1)), "values"),
        (ending(layers.Dense(1, activation="sigmoid")), "binary"),
        (by_operation(keras.ops.sigmoid), "binary"),
        (ending(layers.Dense(3, activation="relu")), "values"),
    ],
)
def test_the_end_of_an_output_says_what_it_is(model: Any, kind: str):
    assert kinds_of(model, None, "caller") == (kind,)


def test_layers_in_training_end_as_the_float_ones():
    assert kinds_of(lg_lsq(shared(), data(shared()), start="magnitudes"), None, "caller") == ("probabilities",)


def test_every_output_has_its_own_kind():
    entry = keras.Input((4,))
    heads = [layers.Dense(3, activation="softmax", name="a")(entry), layers.Dense(2, name="b")(entry)]
    model = keras.Model(entry, heads)
    assert kinds_of(model, None, "caller", unknown="values") == ("probabilities", "values")
    assert kinds_of(model, ["binary", "logits"], "caller") == ("binary", "logits")
    assert kinds_of(model, "logits", "caller") == ("logits", "logits")
    with pytest.raises(OptionError, match=r"are 1 kinds, but model .* has 2 outputs: a, b\. Give one for each"):
        kinds_of(model, ["logits"], "caller")
    with pytest.raises(OptionError, match=r"caller: output 'b' ends in neither softmax nor sigmoid.*outputs='logits'"):
        kinds_of(model, None, "caller")


def test_a_single_unit_has_no_classes():
    with pytest.raises(OptionError, match=r"output '.*' has one unit, and a softmax of it is 1.*'binary_logits'"):
        kinds_of(ending(layers.Dense(1)), "logits", "caller")
    with pytest.raises(OptionError, match=r"ends in a softmax of one unit, which is always 1"):
        kinds_of(ending(layers.Dense(1, activation="softmax")), None, "caller")
    assert kinds_of(ending(layers.Dense(1)), "values", "caller") == ("values",)


@pytest.mark.parametrize("wrong", ["scores", 3, ["logits", None], [1]])
def test_other_kinds_are_refused(wrong: Any):
    with pytest.raises(OptionError, match=r"outputs=.*: give one of 'probabilities', 'logits', 'binary'"):
        kinds_of(separable(), wrong, "caller")
