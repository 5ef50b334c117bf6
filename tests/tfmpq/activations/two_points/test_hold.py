"""Activations as two tensors: by rule, or where the outputs gain within the limit of latency; never by chance."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("keras")

import tfmpq
from converters.errors import RecipeError
from tests.support.outlier_nets import capped, case_of, noise, residual, spikes
from tfmpq.activations.subject import Case, Mended, Subject
from tfmpq.activations.two_points.hold import hold_two_points
from tfmpq.recipe.rules import Recipe, Rule

SUMS = Rule("^sum", activations="two points")


def _gain(result: tfmpq.ConversionResult) -> float:
    """Of the output over stock's, in dB, on held-back samples."""
    proxies = result.report.proxies
    assert proxies is not None
    return proxies.file.sqnr_db[0] - proxies.stock.sqnr_db[0]


def _mended(case: Case) -> dict[str, Mended]:
    return {entry.where: entry for entry in hold_two_points(Subject(case.model), case).mended}


# By day the form of most operators, the default, and the compact one.
@pytest.mark.parametrize(
    "lowering",
    ["auto", "parallel", "compact", *(pytest.param(x, marks=pytest.mark.nightly) for x in ("split", "fused"))],
)
def test_a_stream_with_outliers_gains_in_every_lowering(lowering: str):
    """Validation runs in all kernels, against the integer reference."""
    result = tfmpq.convert(
        residual(), noise(), recipe=Recipe([SUMS, Rule("", bits=8)]), lowering=lowering, progress=False
    )
    report = result.report
    assert report.validation is not None
    assert report.validation.kernels == ("xnnpack", "builtin", "reference")
    # measured: 23.5 dB for stock, 40.5 for fused int8 rows
    assert _gain(result) >= 12
    # A point more a layer's reader in int8, none in its weights: scales, biases and operators only.
    assert len(result.tflite_model) < 1.6 * len(result.stock_model)


def test_points_of_few_bits_serve_both_tensors():
    recipe = Recipe([SUMS, Rule("in_|head|out_", bits=4, lowering="parallel")])
    result = tfmpq.convert(residual(), noise(), recipe=recipe, budget=tfmpq.ExtraBits(0.5), progress=False)
    names = {layer.name: layer for layer in result.report.layers}
    assert len(names) == len(result.report.layers) == 8  # a layer that two operators compute is one
    assert _gain(result) > 6  # measured: 11.3 dB; -.1 without two points


def test_by_default_nothing_changes():
    case = case_of("residual")
    subject = Subject(case.model)
    assert hold_two_points(subject, case) is subject  # a third more time than stock's is not within 2 %


def test_what_fits_the_limit_and_gains_is_held_as_two():
    found = _mended(case_of("residual", max_latency_ratio=1.5))
    assert list(found) == ["sum", "sum_0", "sum_1"]
    assert all(m.kind == "two points" and m.before_db and m.after_db for m in found.values())
    assert all(m.after_db > m.before_db + 10 for m in found.values())  # pyright: ignore[reportOptionalOperand]
    assert "% of stock's time" in found["sum"].why
    assert "as a sum with 'sum'" in found["sum_1"].why


def test_rules_keep_them_in_one_tensor():
    case = case_of("residual", Rule("^sum$", activations="int8"), max_latency_ratio=1.5)
    assert "sum" not in _mended(case)


def test_ranges_set_before_are_kept():
    case = case_of("residual", Rule("^sum$", activations="two points"))
    name = next(name for name, layer in case.layer_names.items() if layer == "sum")
    found = hold_two_points(Subject(case.model, {name: (-3.0, 20.0)}), case)
    assert found.ranges[name] == pytest.approx((-3, 20), abs=0.1)


@pytest.mark.parametrize(
    "how", [{"recipe": Recipe([Rule("^signal$", activations="two points")])}, {"max_latency_ratio": 2.0}]
)
def test_a_float_input_is_converted_twice(how: dict[str, Any]):
    result = tfmpq.convert(capped(), spikes(), bits=8, io_dtype="float32", progress=False, **how)
    report = result.report
    assert report.file.operators["QUANTIZE"] == 2
    assert _gain(result) >= 6  # measured: 29.1 and 42.5 dB


@pytest.mark.parametrize(
    ("name", "match", "reason"),
    [
        ("capped", "^signal$", "it arrives as int8, and has no more to tell; io_dtype='float32' would"),
        ("residual", "^scores$", "no layer with constant weights and no sum reads it"),
        ("residual", "^rare$", "only sums read it that are not held as two themselves"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(name: str, match: str, reason: str):
    case = case_of(name, Rule(match, activations="two points"))
    with pytest.raises(RecipeError) as caught:
        hold_two_points(Subject(case.model), case)
    assert reason in str(caught.value)
    assert f"rule '{match}'" in str(caught.value)
