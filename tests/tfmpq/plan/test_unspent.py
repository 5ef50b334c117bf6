from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.targets import load_target
from tests.support.pipeline import residual
from tfmpq.plan.budgeting import plan_layers
from tfmpq.plan.choice import Chooser
from tfmpq.plan.unspent import Unspent, explain_unspent
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes
from tfmpq.stages import LayerSettings, Weighed

TARGET = load_target("xnnpack")


def explained(layers: list[Weighed], budget: Budget, *, file_bytes: int = 0) -> Unspent | None:
    network = residual().network
    chooser = Chooser(layers, TARGET, network.stock.graph, network.base.graph)
    planned = plan_layers(
        chooser,
        budget,
        network=network,
        size=lambda _: file_bytes,
        convert=lambda _: pytest.fail("not needed"),
        eight_bits=lambda: pytest.fail("not needed"),
    )
    return explain_unspent(planned, budget, chooser, file_bytes=lambda: file_bytes)


def weighed(lowering: str = "parallel", gain: float = 1.0, bits: int = 4) -> Weighed:
    points = 2 if bits < 8 else 1
    return residual().weighed(
        "project", LayerSettings(bits, points, "radix", lowering), np.full((16, points - 1), gain)
    )


def test_what_is_spent_needs_no_word():
    assert explained([weighed()], ExtraBits(0.5)) is None
    assert explained([weighed()], ExtraBits(0.0)) is None
    assert explained([weighed()], Epsilon(1.0)) is None
    assert explained([weighed()], MaxBytes(1000), file_bytes=995) is None


def test_reasons():
    found = explained([weighed()], ExtraBits(2.0))
    assert found is not None
    assert found.bytes == pytest.approx(found.budget / 2)
    assert str(found) == "50% of it unspent: all rows have all their points, which is what 8 bits hold"
    assert "bring nothing" in str(explained([weighed(gain=0.0)], ExtraBits(0.5)))
    frozen = replace(weighed(gain=0.0), frozen="reaches the output")
    assert "'project' cannot be mixed (reaches the output)" in str(explained([frozen], ExtraBits(0.5)))
    assert "max_points=3" in str(explained([weighed(bits=2)], ExtraBits(2.0)))
    assert "no layer has fewer than 8 bits" in str(explained([weighed(bits=8)], MaxBytes(2000), file_bytes=1000))


def test_the_option_that_is_named_spends_the_budget():
    """Logits of a small convolution: a GATHER behind them is dear, and the time limit forbids it."""
    import keras

    keras.utils.set_random_seed(0)
    data = np.random.default_rng(0).normal(size=(40, 8, 8, 4)).astype(np.float32)
    k: Any = keras.layers
    stem = [keras.Input((8, 8, 4)), k.Conv2D(32, 3, 2, activation="relu"), k.GlobalAveragePooling2D(keepdims=True)]
    model = keras.Sequential([*stem, k.Conv2D(400, 1, name="logits"), k.Flatten()])
    prepared = tfmpq.prepare(model, data, progress=False)
    limited = prepared.finish(budget=tfmpq.ExtraBits(0.7))
    assert limited.report.unspent is not None
    assert "1.02 x stock's predicted time allows no more" in limited.report.unspent
    ratio = float(limited.report.unspent.split("max_latency_ratio=")[1].split()[0])
    spent = prepared.finish(budget=tfmpq.ExtraBits(0.7), max_latency_ratio=ratio)
    counts = spent.plan.layers["logits"].counts
    assert 0.6 * len(counts) < (counts > 1).sum() < len(counts)
    assert spent.report.unspent is None
    assert spent.report.file.operators["GATHER"] == 1
