"""The tools that measure what points buy, on a small network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.writer import save
from tools.research import measure_bits, measure_replanning, measure_rows
from tools.research import variants as module
from tools.research.variants import Change, rounded, variants, with_rows


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def prepared(images: np.ndarray) -> Any:
    """A residual sum, so that two activations are alive where the second layer is cut off."""
    keras.utils.set_random_seed(0)
    k = keras.layers
    source = keras.Input((8, 8, 3), name="image")
    x = k.Conv2D(16, 3, padding="same", activation="relu", name="stem")(source)
    y = k.Conv2D(24, 1, activation="relu", name="wide")(x)
    x = k.Add()([x, k.Conv2D(16, 1, name="narrow")(y)])
    scores = k.Dense(5, activation="softmax", name="head")(k.GlobalAveragePooling2D()(x))
    recipe = tfmpq.Recipe([tfmpq.Rule(".*", bits=4, max_points=2)])
    return tfmpq.prepare(
        keras.Model(source, scores), images[:32], lowering="compact", recipe=recipe, progress=False, seed=0
    )


def test_variants_are_the_whole_network_run(prepared: Any, images: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MEMORY", 1)  # one image at a time
    model, layers = prepared.network.model, prepared.weighed
    rows = {x.name: np.ones(x.layer.channels, np.int64) for x in layers}
    changes = [Change(x.name, x, 2 * rows[x.name]) for x in layers]
    found = variants(model, layers, rows, changes, images[:3])
    for label in ("", *(x.name for x in layers)):
        weights = {x.name: rounded(x, rows[x.name] * (2 if x.name == label else 1)) for x in layers}
        interpreter = make_interpreter(save(with_rows(model, layers, weights)))
        whole = np.concatenate([run(interpreter, {"image": image[None]})[0] for image in images[:3]])
        np.testing.assert_allclose(found[label][0], whole, rtol=1e-4, atol=1e-6)


def test_more_rows_save_what_is_predicted_of_them(prepared: Any, images: np.ndarray):
    alone, together, marginal = measure_rows.measure_model("net", prepared, images[32:])
    assert [row.budget for row in together] == list(measure_rows.BUDGETS)
    single = sum(row.measured for row in alone if row.budget == 0)
    assert together[0].single == pytest.approx(single)
    assert together[-1].measured < together[0].measured
    assert all(row.predicted >= 0 and row.bytes > 0 for row in marginal)
    table = measure_rows.markdown(alone, together, marginal)
    assert table.count("\n| net |") == len(alone) + len(together) + len(marginal) + 1


def test_rank_correlation_is_spearmans():
    assert measure_rows.rank_correlation([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert measure_rows.rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)


def test_other_plans_cost_the_same_bytes(prepared: Any, images: np.ndarray):
    rows = measure_replanning.measure_model("net", prepared, [0.3], images[24:])
    assert [row.by for row in rows] == ["alone", "typical", "second pass"]
    assert all(abs(row.bytes) <= 2 * max(x.row_bytes for x in prepared.weighed) for row in rows)
    assert measure_replanning.markdown(rows).count("\n| net |") == 3


def test_packed_bytes_are_those_of_the_bits(prepared: Any, images: np.ndarray):
    none, all_rows = measure_bits.measure_base("net", prepared, [0.0, 1.0], images[32:36])
    assert none.packed == pytest.approx(none.file)  # 4-bit rows are packed as they are
    assert all_rows.rows == (0.0, 1.0, 0.0, 0.0)
    assert all_rows.kl < none.kl
    assert none.file < all_rows.file
