"""Masks in front of softmaxes: found where nothing else sees them, and replaced for one reader."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.rewriting.masks import Mask, find_masks, softmax_ways, with_constants
from converters.tflite.graph import Graph, Model
from converters.tflite.reader import load
from tests.support.masked_nets import CONSTANT_MASKS, masked


@functools.cache
def content(kind: str, reader: str | None) -> bytes:
    return load_model(masked(kind, reader=reader)[0]).flatbuffer


def float_file(kind: str, reader: str | None = None) -> Model:
    return load(content(kind, reader))


def huge(graph: Graph) -> list[Mask]:
    return [mask for mask in find_masks(graph, 1e6) if mask.kind != "input"]


@pytest.mark.parametrize("kind", CONSTANT_MASKS)
def test_the_constant_is_found(kind: str):
    (mask,) = huge(float_file(kind).graph)
    product = kind in ("one minus", "minus one", "divided", "subtracted")
    assert mask.kind == ("factor" if product else "constant")
    assert (mask.scaled is not None) == product
    (way,) = mask.ways
    assert way.softmax.name == "SOFTMAX"
    assert way.factor == (0.25 if kind == "scaled after" else -1 if kind == "subtracted" else 1)
    # Where scores are replaced, nothing is added to them afterwards.
    assert len(way.added) == (0 if kind in ("selected", "layer", "transposed") else 1)


def test_an_input_that_is_added_is_found():
    (mask,) = (m for m in find_masks(float_file("input").graph, 1e6) if m.kind == "input")
    assert "mask" in mask.tensor.name
    assert [way.factor for way in mask.ways] == [1]


@pytest.mark.parametrize("reader", ["output", "maximum"])
@pytest.mark.parametrize("kind", ["constant", "selected", "one minus"])
def test_masked_scores_that_something_else_sees_are_left_alone(kind: str, reader: str):
    graph = float_file(kind, reader=reader).graph
    assert huge(graph) == []
    assert not any(ways for tensor, ways in softmax_ways(graph).items() if tensor in graph.inputs)


def test_other_readers_of_the_constant_keep_it():
    model = float_file("selected")
    (mask,) = huge(model.graph)
    other = next(op for op in model.graph.ops if op.name == "ADD")
    other.inputs.append(mask.tensor)
    changed = with_constants(model, {mask: np.full(mask.tensor.shape, -30)})
    assert {t.name for t in changed.graph.tensors()} - {t.name for t in model.graph.tensors()} == {
        f"{mask.tensor.name}/mask"
    }
    new = dict(zip(model.graph.ops, changed.graph.ops, strict=True))
    assert mask.tensor in new[other].inputs
    assert mask.op is not None
    assert mask.tensor not in new[mask.op].inputs
    assert mask.tensor in mask.op.inputs  # the model given stays as it is


def test_a_softmax_of_another_temperature_is_left_alone():
    model = float_file("constant")
    (softmax,) = (op for op in model.graph.ops if op.name == "SOFTMAX")
    softmax.options.beta = 2.0
    assert huge(model.graph) == []
