"""Graphs of an emitted file beside the main one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from converters.errors import ValidationError
from converters.frontend.dynamic_file import dynamic_file
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.tflite.file import File
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.whole_files import two_entries
from tfmpq.emit.other_graphs import check_other_graphs, sharing_notes


@dataclass(frozen=True)
class Layer:
    """What is looked at of a written layer."""

    name: str
    elsewhere: dict[int, LoweredLayer]


def written(*names: str) -> Any:
    """Layers whose weights stand in graph 1 as the dynamic file has them."""
    nothing = np.zeros((0, 0), np.int8), np.zeros(0, np.float32)
    return [Layer(n, {1: LoweredLayer(n, "fused", (EmittedWeight(n, f"{n}/kernel", *nothing),), ())}) for n in names]


@pytest.fixture(scope="module")
def stock() -> File:
    return dynamic_file(load(two_entries()))


def changed(stock: File, *, codes: bool = False, broken: bool = False) -> File:
    model = stock.model.clone().model
    op = model.graphs[1].ops[0]
    if codes:
        op.input(1).data = bytes(len(op.input(1).data or b""))
    if broken:
        op.input(2).type, op.input(2).data = TensorType.INT8, bytes(op.input(2).shape[0])  # a bias of int8
    return File.parse(save(model))


def test_a_file_with_one_buffer_for_both_passes(stock: File):
    check_other_graphs(stock, stock, written("up", "down", "head"))


def test_other_integers_are_a_fault(stock: File):
    with pytest.raises(ValidationError, match="layer 'up': signature 'decode' does not read the weight 'up/kernel'"):
        check_other_graphs(changed(stock, codes=True), stock, written("up", "down"))


def test_a_signature_that_does_not_run_any_more_is_a_fault(stock: File):
    broken = changed(stock, broken=True)
    with pytest.raises(ValidationError, match="signature 'decode' of the emitted file does not run"):
        check_other_graphs(broken, stock, written("down"))
    check_other_graphs(broken, broken, written("down"))  # it never did


def test_notes_count_layers(stock: File):
    layers = [*written("up", "down"), Layer("head", {})]
    (note,) = sharing_notes(layers, stock.model, [0, 1])  # type: ignore[arg-type]
    assert note == "signature 'decode' has the points of 2 of 3 layers too"
    (note,) = sharing_notes(layers, stock.model, [0])  # type: ignore[arg-type]
    assert note.endswith("although it was not named: they are the same weights")
