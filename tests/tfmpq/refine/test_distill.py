"""Rows of a plan trained against the float network: closer to it, or as they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tfmpq
from tests.tfmpq.refine.test_refine import images_of, probabilities
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.demo.demo import CALIBRATION, MODEL, TEST
from tfmpq.plan.choice import knapsack
from tfmpq.preparation import Prepared
from tfmpq.progress import Progress
from tfmpq.refine import distill
from tfmpq.refine.distill import Distiller


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """A real, trained network at 3 bits."""
    return tfmpq.prepare(MODEL, images_of(CALIBRATION)[:160], bits=3, optimize="download", progress=False)


def distiller(prepared: Prepared, **changes: Any) -> Distiller:
    known: dict[str, Any] = {"layers": prepared.weighed, "network": prepared.network, "data": prepared.data} | changes
    return Distiller(**known, seed=0, progress=Progress(False))


@pytest.mark.slow
def test_a_network_is_closer_to_float_at_the_same_bytes(prepared: Prepared):
    fast = prepared.finish(budget=tfmpq.ExtraBits(0.0))
    trained = replace(prepared, options=replace(prepared.options, effort="distill"))
    best = trained.finish(budget=tfmpq.ExtraBits(0.0))
    assert len(best.tflite_model) == len(fast.tflite_model)
    assert best.report.validation is not None
    assert any("effort='distill' trained the rows of" in note for note in best.report.notes)
    assert best.plan.to_dict() == fast.plan.to_dict()
    images = images_of(TEST)[:300]  # which served for no choice
    files = fast.float_model, fast.tflite_model, best.tflite_model
    real, of_fast, of_best = (probabilities(file, images) for file in files)
    # 112 images to train on are few: what is gained of them must not be lost on others.
    assert np.square(of_best - real).mean() < np.square(of_fast - real).mean()


def test_rows_are_the_same_each_time(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distill, "_EPOCHS", 2)
    plan = knapsack(prepared.weighed)(0.0)
    one, other = (distiller(prepared)(plan) for _ in range(2))
    assert one.left == other.left
    for first, second in zip(one.plan, other.plan, strict=True):
        np.testing.assert_array_equal(first.points.reconstruct(), second.points.reconstruct())


def test_nothing_changes_where_samples_that_judge_do_not_gain(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    distances = iter([1.0, 1.0, 2.0])
    monkeypatch.setattr(distill.NetworkLoss, "__call__", lambda *_: next(distances))
    monkeypatch.setattr(distill, "_EPOCHS", 2)
    plan = knapsack(prepared.weighed)(0.0)
    found = distiller(prepared)(plan)
    assert found.plan is plan
    assert "no closer to float on samples held back" in found.note


def test_the_best_epoch_is_kept(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    epochs: list[Any] = []

    def training(*args: Any, **options: Any) -> Iterator[Any]:
        for number in range(3):
            epochs.append([(rows.codes, rows.step * (1 + number / 8)) for rows in args[2]])
            yield epochs[-1]

    distances = iter([4.0, 3.0, 1.0, 2.0])
    monkeypatch.setattr(distill.NetworkLoss, "__call__", lambda *_: next(distances))
    monkeypatch.setattr(distill, "distilled", training)
    plan = knapsack(prepared.weighed)(0.0)
    found = distiller(prepared)(plan)
    assert found.left == 0.25
    by_name = {layer.name: layer for layer in found.plan}
    for name, (codes, step) in zip(found.layers, epochs[1], strict=True):
        points = by_name[name].points
        assert (points.counts == next(x for x in plan if x.name == name).counts).all()
        np.testing.assert_allclose(points.reconstruct(), codes * step[:, None], rtol=1e-6)


def test_few_images_and_other_points_are_left_alone(prepared: Prepared):
    plan = knapsack(prepared.weighed)(0.0)
    few = hold_out(check_samples(images_of(CALIBRATION)[:40], prepared.network.float_model.inputs))
    note = distiller(prepared, data=few)(plan).note
    assert "it needs 100 images, better a thousand, and has 30 images" in note
    layers = [replace(x, settings=replace(x.settings, algorithm="greedy")) for x in prepared.weighed]
    assert "no layer has rows below 8 bits" in distiller(prepared, layers=layers)(plan).note
