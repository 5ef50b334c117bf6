"""Files that are like stock, of small networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq
from tfmpq.preparation import Prepared
from tfmpq.report.like_stock import LikeStockFigures
from tfmpq.result import ConversionResult

QUIET: dict[str, Any] = {"progress": False, "sensitivity": "energy"}


def figures(result: ConversionResult) -> LikeStockFigures:
    found = result.report.like_stock
    assert found is not None
    return found


def dense(*, softmax: bool = True, heads: int = 1) -> Any:
    """Dense layers with rows of very different sizes."""
    import keras

    keras.utils.set_random_seed(0)
    k: Any = keras.layers
    given = keras.Input((64,), name="x")
    h = k.Dense(128, activation="relu")(k.Dense(128, activation="relu")(given))
    activation = "softmax" if softmax else None
    outputs = [k.Dense(16, activation=activation, name=f"head{i}")(h) for i in range(heads)]
    return keras.Model(given, outputs)


def vectors(count: int = 48) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return tfmpq.prepare(dense(), vectors(), **QUIET)


def test_closer_files_are_larger_and_none_larger_than_stock(prepared: Prepared):
    results = [prepared.finish(budget=tfmpq.LikeStock(margin), validate=False) for margin in (50.0, 3.0, 0.0)]
    sizes = [len(result.tflite_model) for result in results]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] <= len(results[0].stock_model)
    loose, _, tight = map(figures, results)
    assert (loose.chosen, loose.reached) == (0.0, True)
    assert tight.chosen > 0.3
    assert tight.file < loose.file
    assert (loose.samples, loose.fitted) == (6, False)
    for found in (loose, tight):
        taken = next(budget for budget in found.budgets if budget.share == found.chosen)
        assert taken.measured == found.file
        assert {0.0, 0.05, 0.1, 0.2} <= {budget.share for budget in found.budgets}
        assert [b.bytes for b in found.budgets] == sorted(b.bytes for b in found.budgets)
        assert max(budget.latency_ratio for budget in found.budgets) <= 1.02
    text = str(results[-1].report)
    assert "% of predictions change; stock int8: " in text
    assert "(taken)" in text
    assert results[-1].report.to_dict()["like_stock"]["chosen"] == tight.chosen


def test_the_default_is_like_stock_and_repeats(prepared: Prepared):
    first, second = prepared.finish(validate=False), prepared.finish(validate=False)
    assert first.tflite_model == second.tflite_model
    assert figures(first).margin == 2.0
    share = figures(first).chosen
    assert prepared.finish(budget=tfmpq.ExtraBits(share), validate=False).tflite_model == first.tflite_model


def test_few_samples_are_not_trusted():
    found = figures(tfmpq.convert(dense(), vectors(12), budget=tfmpq.LikeStock(50.0), validate=False, **QUIET))
    assert found.fitted
    assert found.chosen >= 0.1


def test_every_output_has_to_be_like_stocks():
    """Logits that may be measurements are compared as both."""
    result = tfmpq.convert(dense(softmax=False, heads=2), vectors(), validate=False, **QUIET)
    found = figures(result)
    assert (found.measure, found.margin, found.outputs) == ("variance", 0.2, 2)
    assert "output 0" in str(result.report) or "output 1" in str(result.report)


@pytest.mark.parametrize("options", [{"activations": "float"}, {"lowering": "compact"}, {"lowering": "parallel"}])
def test_other_forms(options: dict[str, Any]):
    result = tfmpq.convert(dense(), vectors(), validate=False, **{**QUIET, **options})
    assert len(result.tflite_model) <= len(result.stock_model)
    assert figures(result).measure == "predictions"


def test_where_there_is_nothing_to_choose_nothing_is_run():
    assert tfmpq.convert(dense(), vectors(), bits=8, validate=False, **QUIET).report.like_stock is None
