from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.frontend.float_model import InputSpec
from converters.runtime.interpreter import inputs, make_interpreter, outputs, run
from converters.runtime.values import dequantize
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.demo.demo import CALIBRATION, MODEL, TEST
from tfmpq.files import read_npz
from tfmpq.plan.choice import knapsack
from tfmpq.preparation import Prepared
from tfmpq.progress import Progress
from tfmpq.refine import refine
from tfmpq.refine.refine import Refiner, image_by_image


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """A real, trained network: rows of a random one have nothing in common that could be made use of."""
    return tfmpq.prepare(MODEL, images_of(CALIBRATION)[:128], progress=False)


def images_of(path: Path) -> np.ndarray:
    return read_npz(path)["x"].astype(np.float32)


def probabilities(content: bytes, images: np.ndarray) -> np.ndarray:
    interpreter = make_interpreter(content)
    name, detail = inputs(interpreter)[0].name, outputs(interpreter)[0]
    return np.concatenate([dequantize(run(interpreter, {name: image[None]})[0], detail) for image in images])


def refiner(prepared: Prepared, **changes: Any) -> Refiner:
    known: dict[str, Any] = {"layers": prepared.weighed, "network": prepared.network, "data": prepared.data} | changes
    return Refiner(**known, seed=0, progress=Progress(False))


@pytest.mark.slow
def test_a_network_is_closer_to_float_at_the_same_bytes(prepared: Prepared):
    """That it is the same each time is part of what test_preparing.py sees of the cache, at night."""
    fast = prepared.finish(budget=tfmpq.ExtraBits(0.0))
    best = replace(prepared, options=replace(prepared.options, effort="best")).finish(budget=tfmpq.ExtraBits(0.0))
    assert len(best.tflite_model) == len(fast.tflite_model)
    assert best.report.validation is not None
    assert any("rounded the rows of" in note for note in best.report.notes)
    assert best.plan.to_dict() == fast.plan.to_dict()
    # Judged on images that served for no choice.
    images = images_of(TEST)[:300]
    files = fast.float_model, fast.tflite_model, best.tflite_model
    real, of_fast, of_best = (probabilities(file, images) for file in files)
    # Less than half of the error; with further points it is noise of doubtful images.
    assert np.square(of_best - real).mean() < 0.8 * np.square(of_fast - real).mean()


def test_nothing_changes_where_samples_that_judge_do_not_gain(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    distances = iter([1.0, 1.0, 2.0])
    monkeypatch.setattr(refine.NetworkLoss, "__call__", lambda *_: next(distances))
    plan = knapsack(prepared.weighed)(0.0)
    found = refiner(prepared)(plan)
    assert found.plan is plan
    assert "no closer to float" in found.note


def test_layers_whose_points_came_by_another_algorithm_stay(prepared: Prepared):
    layers = [replace(x, settings=replace(x.settings, algorithm="greedy")) for x in prepared.weighed]
    found = refiner(prepared, layers=layers)(knapsack(layers)(0.0))
    assert found.layers == ()
    assert "no layer has rows below 8 bits" in found.note


def test_views_of_an_image_stand_side_by_side():
    images = np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1) * np.ones((40, 8, 8, 3), np.float32)
    spec = InputSpec("image", (), (1, 8, 8, 3), np.dtype("float32"))
    split = hold_out(check_samples(tfmpq.image_views(images, 3), [spec]))
    found = [int(next(iter(sample.values())).max()) for sample in image_by_image(split)]
    kept = [i for i in range(40) if i % 8 not in (3, 7)]
    assert found == [i for i in kept for _ in range(3)]


def test_samples_of_several_sizes():
    """A batch of gradients has one size: sentences of another length have no part in it."""
    net = keras.Sequential(
        [
            keras.Input((None, 32), name="tokens"),
            keras.layers.Dense(64, activation="relu", name="wide"),
            keras.layers.Dense(32, name="narrow"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(4, activation="softmax", name="classes"),
        ]
    )
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(1, 6 + i % 3, 32)).astype(np.float32) for i in range(40)]
    result = tfmpq.convert(
        net, lambda: iter([x] for x in samples), activations="float", effort="best", budget=tfmpq.ExtraBits(0.0),
        progress=False,
    )  # fmt: skip
    assert any("effort='best'" in note for note in result.report.notes)
    assert result.report.validation is not None
