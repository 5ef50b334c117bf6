"""Forms: what they refuse, where they want rows, what they cost; a new one is a class and a row in the registry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.lowering.form import Form, FormCost, Request, Writing, segments_of
from converters.lowering.forms import FORMS, lowerings, register_form, settle
from converters.lowering.fused import lower_fused
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import LoweredLayer
from converters.targets import Target, load_target, work_of
from converters.tflite.graph import Graph
from tests.support.pipeline import residual

TARGET = load_target("xnnpack")


def request(name: str, counts: list[int], *, bits: int = 4, merges: bool = True, frozen: str | None = None) -> Request:
    return Request(residual().layers[name], segments_of(np.array(counts)), bits, merges, frozen)


def settled(form: str, asked: Request) -> tuple[str, str | None]:
    found, reason = settle(FORMS[form], asked)
    return found.name, reason


MIXED, SINGLE = [2] * 4 + [1] * 20, [1] * 24  # of `expand`, a 1x1 convolution of 24 rows
CLASSIFIER = [2] * 4 + [1] * 6
WHY = "the channel order must stay: of a test"


def test_what_users_may_ask_for():
    assert lowerings() == ("auto", "split", "fused", "parallel", "compact")


@pytest.mark.parametrize(
    ("form", "asked", "expected"),
    [
        ("split", request("expand", MIXED), ("split", None)),
        ("split", request("expand", MIXED, bits=8), ("fused", None)),  # nothing to split, nothing to say
        ("split", request("expand", [2] * 23 + [1]), ("fused", None)),  # a single INT4 row cannot be written
        ("split", request("expand", MIXED, frozen="of a test"), ("fused", WHY)),
        ("split", request("expand", SINGLE, frozen="of a test"), ("split", None)),
        ("split", request("classifier", CLASSIFIER, frozen="of a test"), ("split", None)),  # a GATHER is cheap there
        ("split", request("expand", MIXED, merges=False), ("parallel", "its points do not merge into int8 rows")),
        ("parallel", request("conv", [2] * 4 + [1] * 12), ("parallel", None)),
        ("parallel", request("conv", [1] * 16, bits=8), ("fused", None)),
        ("parallel", request("conv", [2] * 16, frozen="of a test"), ("parallel", None)),  # nothing to sort
        ("parallel", request("conv", [2] * 4 + [1] * 12, frozen="of a test"), ("fused", WHY)),
        ("parallel", request("conv", [2] * 4 + [1] * 12, frozen="of a test", merges=False), ("full width", WHY)),
        ("compact", request("conv", [1] * 16), ("compact", None)),
        (
            "compact",
            request("conv", [2] * 4 + [1] * 12),
            ("fused", None),
        ),  # two operators more cost more than they save
        # As small as this it would be int8 in any order: its order is not to blame.
        ("compact", request("conv", [2] * 4 + [1] * 12, frozen="of a test"), ("fused", None)),
        ("compact", request("conv", [2] * 4 + [1] * 12, merges=False), ("compact", None)),
        ("fused", request("conv", [2] * 16), ("fused", None)),
    ],
)
def test_what_is_written(form: str, asked: Request, expected: tuple[str, str | None]):
    assert settled(form, asked) == expected


def test_where_rows_are_wanted():
    assert FORMS["split"].order(request("expand", MIXED)) == "sorted"
    assert FORMS["split"].order(request("expand", SINGLE)) == "kept"
    assert FORMS["split"].order(request("classifier", CLASSIFIER, frozen="of a test")) == "restored"
    assert FORMS["parallel"].order(request("conv", [2] * 4 + [1] * 12)) == "sorted"
    assert FORMS["full width"].order(request("conv", [2] * 4 + [1] * 12)) == "kept"
    assert FORMS["fused"].order(request("conv", [2] * 4 + [1] * 12)) == "kept"


def test_costs():
    layer = residual().layers["expand"]  # 16 -> 24

    def cost(form: str, two: int, *, frozen: str | None = None) -> FormCost:
        counts = [2] * two + [1] * (24 - two)
        asked = request("expand", counts, frozen=frozen)
        return settle(FORMS[form], asked)[0].cost(asked, TARGET)

    fused = cost("fused", 0)
    assert fused == cost("fused", 12) == cost("split", 24) == cost("split", 23)  # int8 rows only
    assert fused.microseconds == TARGET.microseconds(work_of(layer.uses[0].int8_op))
    assert cost("split", 0).bytes == fused.bytes - 24 * 8  # half a byte a weight less
    sizes = [cost("split", n).bytes for n in range(1, 23)]
    assert np.diff(sizes).tolist() == [8.0] * 21
    assert cost("split", 1).microseconds > cost("split", 0).microseconds + 0.1  # a CONCATENATION
    assert cost("parallel", 12).microseconds > cost("split", 12).microseconds > fused.microseconds
    asked = request("classifier", CLASSIFIER)
    frozen = request("classifier", CLASSIFIER, frozen="of a test")
    assert FORMS["split"].cost(frozen, TARGET).microseconds > FORMS["split"].cost(asked, TARGET).microseconds
    assert segments_of(np.array([1, 2, 1, 3, 1])) == [(3, 1), (2, 1), (1, 3)]


class Marked(Form):
    """A toy: the fused form, at half its price, with a name of its own on its weights."""

    name = "marked"
    used = "a marked op"
    instead = ("fused",)
    merges_rows = True

    def automatic(self, layer: Any, bits: int, *, merges: bool) -> bool:
        return merges and "expand" in layer.name

    def refuses(self, request: Request) -> str | None:
        return None if "expand" in request.layer.name else "it is for one layer only"

    def cost(self, request: Request, target: Target) -> FormCost:
        whole = FORMS["fused"].cost(request, target)
        return FormCost(whole.bytes, whole.microseconds / 2)

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        lowered = lower_fused(graph, quantized)
        return LoweredLayer(lowered.layer, self.name, lowered.weights, lowered.outputs)


@pytest.fixture
def toy():
    register_form(Marked())
    yield
    del FORMS["marked"]


@pytest.mark.usefixtures("toy")
def test_a_new_form_is_a_class_and_a_row():
    """Asked for, by a rule or weighed by `auto`: planned, written, checked, recorded and reported."""
    converted = residual()
    data = np.concatenate([feed["image"] for feed in converted.samples])
    model = converted.model.flatbuffer

    by_auto = tfmpq.convert(model, data, progress=False, sensitivity="energy", max_latency_ratio=0.97)
    expand = next(layer for layer in by_auto.report.layers if "expand" in layer.name)
    assert expand.lowering == "marked"
    assert by_auto.plan.layers[expand.name].settings.lowering == "marked"
    by_name = tfmpq.convert(model, data, progress=False, sensitivity="energy", lowering="marked")
    assert [layer.lowering for layer in by_name.report.layers].count("marked") == 1
    report = by_name.report.validation
    assert report is not None
    assert report.kernels == ("xnnpack", "builtin", "reference")
