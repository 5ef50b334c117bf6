"""A difference that activations make, not weights: the tensor is named, with the rule that cures it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tfmpq
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record
from converters.tflite.writer import save
from tests.support.pipeline import residual
from tests.support.uneven_nets import uneven, uneven_images
from tfmpq.activations.losses.losses import activation_losses
from tfmpq.analysis.diff import Diff, diff
from tfmpq.recipe.rules import Recipe

FEEDS = [{"image": image[None]} for image in uneven_images(40)[32:]]


def compare(first: bytes, second: bytes, feeds: list | None = None) -> Diff:
    return diff(first, second, lambda: iter(FEEDS if feeds is None else feeds), progress=False)


def with_record(content: bytes, record: dict[str, object]) -> bytes:
    model = load(content)
    model.metadata[METADATA_NAME] = pack_record(record)
    return save(model)


@pytest.fixture(scope="module")
def against_stock() -> Diff:
    return compare(uneven().model.flatbuffer, uneven().stock)


def test_the_tensor_is_named_with_its_rule(against_stock):
    (wide,) = [loss for loss in against_stock.activations if loss.cure != "none"]
    assert (wide.layer, wide.cure) == ("wide", "equalize")
    expected = activation_losses(uneven().graph, uneven().network.base.model, FEEDS)
    assert against_stock.activations == expected
    text = str(against_stock)
    table = text.split("activations that int8 holds worst:")[1].splitlines()
    assert table[1].split()[:4] == ["activation", "op", "int8", "dB"]
    assert "weights dB" not in table[1]
    assert table[2].split()[:2] == ["wide", "CONV_2D"]
    (line,) = [line for line in text.splitlines() if "Rule(match" in line]
    assert line.startswith("    Rule(match=r\"^wide$\", equalize='auto'),  # now ")
    rule = eval(line.partition("#")[0].strip().rstrip(","), {"Rule": tfmpq.Rule})
    assert rule == tfmpq.Rule("^wide$", equalize="auto")
    assert "no weights make these errors" in text
    assert max(map(len, text.splitlines())) <= 120


def test_rules_go_through_json(against_stock):
    content = json.loads(json.dumps(against_stock.to_dict(), allow_nan=False))
    found = {loss["layer"]: loss["rule"] for loss in content["activations"]}
    assert found.pop("wide") == {"match": "^wide$", "equalize": "auto"}
    assert set(found.values()) == {None}
    rules = [
        tfmpq.Rule("^wide$", equalize="off"),
        tfmpq.Rule("^a$", range=(-1.5, 2.0)),
        tfmpq.Rule("^b$", activations="two points"),
    ]
    assert Recipe.from_json(Recipe(rules).to_json()).rules == tuple(rules)


@pytest.mark.parametrize(
    ("recipe", "equalized"),
    [([], True), ([{"match": "wide", "equalize": "off"}], False), ("none", True), ([3, {"equalize": []}], True)],
)
def test_files_that_were_equalized_are_advised_otherwise(recipe, equalized):
    content = with_record(uneven().stock, {"version": "1", "recipe": recipe})
    (wide,) = [loss for loss in compare(uneven().model.flatbuffer, content).activations if loss.cure != "none"]
    assert wide.layer == "wide"
    assert (wide.cure == "equalize") != equalized


def test_between_two_int8_files_nothing_is_said_of_activations():
    found = compare(uneven().stock, uneven().stock)
    assert found.activations == ()
    assert "int8 holds" not in str(found)


def test_nothing_is_said_where_weights_make_the_error():
    base = residual()
    content = tfmpq.convert(
        base.model, lambda: iter(base.samples), bits=2, max_points=1, validate=False, progress=False
    ).tflite_model
    found = compare(base.model.flatbuffer, content, base.samples)
    assert min(layer.own_sqnr_db for layer in found.layers) < 20
    assert all(loss.output or loss.cure == "none" for loss in found.activations)
    assert len(found.activations) >= 9
    assert np.isfinite([loss.sqnr_db for loss in found.activations]).all()


@pytest.mark.parametrize("lowering", ["fused", "split"])
def test_scaled_channels_are_no_difference(lowering):
    """What equalization made of the network is held against the float model as it was."""
    base = uneven()
    result = tfmpq.convert(
        base.model,
        lambda: iter(base.samples),
        lowering=lowering,
        budget=tfmpq.ExtraBits(0.5),
        recipe=tfmpq.Recipe([tfmpq.Rule("wide", bits=4), tfmpq.Rule("stem|next|head", bits=8)]),
        validate=False,
        progress=False,
    )
    assert any(entry.kind == "equalized" for entry in result.report.mended)
    found = compare(result.float_model, result.tflite_model)
    assert found.scaled
    assert "layers are scaled in one of the files" in str(found)
    # 4 bits with some second points, 8 bits elsewhere; without the factors "wide" would have less than 0 dB.
    assert min(layer.own_sqnr_db for layer in found.layers) > 20
    assert all(loss.cure == "none" for loss in found.activations)
