from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import tfmpq
from converters.errors import OptionError
from converters.targets import load_target
from tfmpq.options import Options
from tfmpq.unheeded import refuse_int8_wishes, unheeded_notes

WISHES: list[tuple[dict[str, Any], str]] = [
    ({"io_dtype": "uint8"}, "io_dtype='uint8' has no effect"),
    ({"outputs": {"y": "int8"}}, "outputs=.'y': 'int8'. has no effect"),
    ({"recipe": tfmpq.Recipe([tfmpq.Rule("^a$", range=(0.0, 1.0))])}, r"rule '\^a\$' sets range, which is for int8"),
    ({"recipe": tfmpq.Recipe([tfmpq.Rule("a", activations="symmetric", bits=4)])}, "rule 'a' sets activations"),
]
HARMLESS: list[dict[str, Any]] = [
    {"equalize": "off", "ranges": "minmax"},
    {"outputs": {"y": "float"}},
    {"recipe": tfmpq.Recipe([tfmpq.Rule("a", equalize="off")])},
]


def refuse(options: Options, target: str = "xnnpack") -> None:
    refuse_int8_wishes(options, options.recipe or tfmpq.Recipe([]), load_target(target))


@pytest.mark.parametrize(("wish", "words"), WISHES)
def test_wishes_of_int8_activations_are_refused_beside_float_ones(wish, words):
    with pytest.raises(OptionError, match=words):
        refuse(Options(activations="float", **wish))
    refuse(Options(activations="int8", **wish))


@pytest.mark.parametrize(("wish", "words"), WISHES)
def test_they_are_noted_where_float_ones_were_found_better(wish, words):
    options = Options(activations="auto", **wish)
    refuse(options)
    (note,) = unheeded_notes(options, options.recipe or tfmpq.Recipe([]))
    assert note.startswith("activations are in float: ")


@pytest.mark.parametrize("wish", HARMLESS)
def test_what_float_activations_give_anyway_is_no_matter(wish):
    options = Options(activations="float", **wish)
    refuse(options)
    assert unheeded_notes(options, options.recipe or tfmpq.Recipe([])) == ()


@pytest.mark.parametrize("target", ["openvino", "qnn", "mtk"])
def test_targets_of_which_only_int8_activations_are_stated_get_no_float_ones(target):
    with pytest.raises(OptionError, match=f"'{target}' it is only stated what it takes with int8 activations"):
        refuse(Options(activations="float"), target)


def test_auto_takes_int8_activations_for_such_targets():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((32,)), layers.Dense(64, activation="relu"), layers.Dense(32)])
    data = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)
    common: dict[str, Any] = {"activations": "auto", "progress": False, "sensitivity": "energy"}
    report = tfmpq.convert(model, data, target="qnn", **common).report
    assert report.activations == "int8"
    assert any("target 'qnn' it is only stated" in note for note in report.notes)
