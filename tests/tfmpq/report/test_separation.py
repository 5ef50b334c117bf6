"""Conversions whose activations lose the outputs, and others whose weights do: the report tells them apart."""

from __future__ import annotations

import functools
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

import tfmpq
from tests.support.pipeline import run_real
from tests.support.uneven_nets import FACTORS, evened, uneven_images, uneven_model
from tfmpq.activations.subject import Case, Mended, Subject
from tfmpq.report.report import Report
from tfmpq.suspicion.suspicion import Suspicion


@functools.cache
def reported(*, even: bool, bits: int) -> tuple[Report, tuple[str, ...]]:
    """The report of a conversion, and what was warned of."""
    model = uneven_model(np.ones_like(FACTORS) if even else FACTORS)
    rules = tfmpq.Recipe([tfmpq.Rule(match="", bits=bits, max_points=1)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = tfmpq.convert(
            model, uneven_images(), recipe=rules, lowering="fused", validate=False, equalize="off", progress=False
        )
    return result.report, tuple(str(w.message) for w in caught if w.category is tfmpq.DataWarning)


def decibels(report: Report) -> tuple[float, float, float]:
    """Of stock, of activations alone, of the file."""
    assert report.proxies is not None
    assert report.proxies.activations is not None
    found = (report.proxies.stock, report.proxies.activations, report.proxies.file)
    stock, activations, file = (closeness.sqnr_db[0] for closeness in found)
    return stock, activations, file


def test_activations_are_blamed_where_they_lose_it():
    report, warned = reported(even=False, bits=8)
    _, activations, file = decibels(report)
    assert activations < 15
    assert abs(file - activations) < 2  # rows by another algorithm, of the same bits
    assert report.suggestions == ()
    assert [w.sign for w in report.warnings][:1] == ["coarse activations"]
    assert "'wide' (CONV_2D" in report.warnings[0].text
    assert "Rule(..., equalize='auto')" in report.warnings[0].text
    assert warned == tuple(w.text for w in report.warnings)
    assert "wide " in str(report).split("activations that int8 holds worst:")[1].splitlines()[2]
    assert any("it is the int8 activations" in note for note in report.notes)


def test_weights_are_blamed_where_they_lose_it():
    report, warned = reported(even=True, bits=2)
    _, activations, file = decibels(report)
    assert activations > 25
    assert file < 10
    assert [w.about for w in report.warnings] == ["weights"]
    assert warned == tuple(w.text for w in report.warnings)
    assert report.suggestions
    assert "activations that int8 holds worst" not in str(report)
    assert not any("it is the int8 activations" in note for note in report.notes)


def test_nothing_is_warned_of_where_all_is_well():
    report, warned = reported(even=True, bits=8)
    assert report.warnings == warned == ()
    assert min(decibels(report)) > 25


def test_what_steps_do_is_reported_and_judged_by_the_users_stock(monkeypatch: pytest.MonkeyPatch):
    done = Mended("equalized", "wide -> next", "16 channels", 5.0, 38.0)
    warning = Suspicion("activations", "by hand", "Something was evened out.")

    def even_out(subject: Subject, case: Case) -> Subject:
        return replace(subject, model=evened(subject.model), mended=[*subject.mended, done], warnings=[warning])

    monkeypatch.setattr("tfmpq.activations.mend._STEPS", (even_out,))
    with pytest.warns(tfmpq.DataWarning, match="Something was evened out"):
        result = tfmpq.convert(uneven_model(), uneven_images(), bits=8, progress=False)
    stock, activations, file = decibels(result.report)
    feeds = [{"image": image[None]} for image in uneven_images()[7::8]]  # held out
    expected, found = (run_real(content, feeds)[0] for content in (result.float_model, result.eight_bit_model))
    noise = np.square(found.astype(float) - expected).sum()
    assert activations == pytest.approx(10 * np.log10(np.square(expected.astype(float)).sum() / noise))
    assert stock < 15
    assert min(activations, file) > 25
    assert result.report.mended == (done,)
    assert json.loads(result.report.to_json())["mended"][0]["after_db"] == 38.0
    text = str(result.report)
    assert "equalized: wide -> next (5.0 -> 38.0 dB, 16 channels)" in text
    assert text.startswith("warning               Something was evened out.")
    assert "activations that int8 holds worst" not in text
