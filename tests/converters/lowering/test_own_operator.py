"""The form for processors that keep INT4 in convolutions: what it refuses, costs and stores."""

from __future__ import annotations

import numpy as np
import pytest

from converters.lowering.form import Request, segments_of
from converters.lowering.forms import FORMS, settle
from converters.lowering.points_writer import int4_kind
from converters.targets import load_target
from tests.support.pipeline import residual

FORM, QNN = FORMS["own operator"], load_target("qnn")
WHY = "the channel order must stay: of a test"


def request(name: str, two: int, *, bits: int = 4, merges: bool = True, frozen: str | None = None) -> Request:
    layer = residual().layers[name]
    counts = np.array([2] * two + [1] * (layer.channels - two))
    return Request(layer, segments_of(counts), bits, merges, frozen)


@pytest.mark.parametrize("name", ["builtin", "mtk", "openvino", "qnn", "xnnpack"])
def test_it_is_for_targets_that_state_int4_convolutions(name: str):
    lacking = FORM.lacking(load_target(name))
    assert (lacking is None) == (name == "qnn")
    assert lacking is None or lacking == "it keeps no INT4 CONV_2D. Use lowering='auto'."


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request("conv", 4), ("own operator", None)),
        (request("conv", 0), ("own operator", None)),
        (request("classifier", 4), ("own operator", None)),
        (request("conv", 16), ("fused", None)),  # int8 rows only
        (request("conv", 15), ("fused", None)),  # a single row would be left
        (request("conv", 4, bits=8), ("fused", None)),
        (request("conv", 4, frozen="of a test"), ("fused", WHY)),
        (request("conv", 4, merges=False), ("parallel", "its points do not merge into int8 rows")),
    ],
)
def test_what_is_written(asked: Request, expected: tuple[str, str | None]):
    form, reason = settle(FORM, asked)
    assert (form.name, reason) == expected


def test_costs():
    """By borrowed times INT4 takes as long as int8; what is known is bytes, and that two operators take longer."""
    int8, alone, mixed = (
        FORMS[name].cost(request("conv", two), QNN)
        for name, two in (("fused", 0), ("own operator", 0), ("own operator", 4))
    )
    assert alone.microseconds == pytest.approx(int8.microseconds)
    assert mixed.microseconds > alone.microseconds
    layer = residual().layers["conv"]
    assert alone.bytes == int8.bytes - layer.channels * layer.columns / 2
    assert mixed.bytes > alone.bytes + 4 * layer.columns / 2


def test_only_convolutions_and_dense_layers_are_stored_as_int4():
    layers = residual().layers
    found = {name: int4_kind(layer, layer.channels, 4, "own") for name, layer in layers.items()}
    kinds = {name: None if kind is None else kind.name for name, kind in found.items()}
    assert all(kinds[name] in (None, layer.kind.name) for name, layer in layers.items())
    assert {layers[name].kind.per_channel for name, kind in kinds.items() if kind is None} == {True}
    assert FORM.unsuitable(layers["conv"], 5) is not None
