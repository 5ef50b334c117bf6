from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tfmpq.commands.verdict import verdict
from tfmpq.plan.lowering_cost import LoweringCost
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.report import Report


def report(proxies: Proxies | None, **changes: Any) -> Report:
    figures = {
        "stock": SimpleNamespace(bytes=1000),
        "stock_name": "stock int8",
        "file": SimpleNamespace(bytes=563),
        "proxies": proxies,
        "warnings": (),
        "lowering_costs": (LoweringCost("as written", 1, 1.018), LoweringCost("split", 1, 2.0)),
    }
    return cast(Report, SimpleNamespace(**{**figures, **changes}))


def proxies(agreeing: int | None, predictions: int | None, *sqnr: float) -> Proxies:
    closeness = Closeness(agreeing, sqnr)
    return Proxies(25, True, predictions, ("a", "b")[: len(sqnr)], closeness, closeness)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (proxies(24, 25, 20.0), "agreement 24 of 25 (80-99 %), "),
        (proxies(None, None, 31.24, 40.0), "output SQNR 31.2 dB, "),
        (proxies(None, None), ""),
        (None, "accuracy not measured, "),
    ],
)
def test_size_closeness_and_time_in_one_line(found, words):
    assert verdict("o.tflite", report(found)) == (
        f"wrote o.tflite: 56 % of stock int8, {words}predicted 1.02 x stock's time"
    )


def test_without_a_prediction_of_time():
    assert verdict("o.tflite", report(None, lowering_costs=())) == (
        "wrote o.tflite: 56 % of stock int8, accuracy not measured"
    )


def test_doubtful_data_and_cosines_are_said():
    doubt = (SimpleNamespace(about="data"),)
    assert "(80-99 %) on doubtful data, " in verdict("f", report(proxies(24, 25, 20.0), warnings=doubt))
    closeness = Closeness(None, (31.0,), 0.99876)
    embedding = Proxies(25, True, None, ("a",), closeness, closeness)
    assert "cosine 0.9988, " in verdict("f", report(embedding))


def test_of_float_activations_the_stock_file_is_the_dynamic_one():
    assert "56 % of stock dynamic int8, " in verdict("o.tflite", report(None, stock_name="stock dynamic int8"))
