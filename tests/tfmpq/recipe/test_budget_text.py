"""Budgets and sizes as text."""

from __future__ import annotations

import pytest

from converters.errors import OptionError
from tfmpq.recipe.budget_text import parse_budget
from tfmpq.recipe.budgets import Epsilon, ExtraBits, LikeStock, MaxBytes


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("like_stock", LikeStock()),
        ("like_stock:1.5", LikeStock(1.5)),
        ("extra:0.10", ExtraBits(0.10)),
        ("extra:0", ExtraBits(0.0)),
        ("epsilon:1e-3", Epsilon(0.001)),
        ("bytes:1600000", MaxBytes(1_600_000)),
        ("bytes:1.6MB", MaxBytes(1_600_000)),
        ("bytes:250 kB", MaxBytes(250_000)),
        ("bytes:1.5MiB", MaxBytes(1_572_864)),
    ],
)
def test_budgets(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.1",
        "like_stock:",
        "like_stock:1MB",
        "like_stock:200",
        "extra:",
        "extra:a",
        "extra:10MB",
        "extra:9",
        "bytes:1XB",
        "bytes:1.2.3",
        "drop:1",
    ],
)
def test_bad_budgets(text):
    with pytest.raises(OptionError):
        parse_budget(text)
