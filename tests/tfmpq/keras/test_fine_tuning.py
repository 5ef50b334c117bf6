"""Training pays: the demo's network at 3 bits, a point a channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from tests.support.keras_nets import reloaded
from tfmpq.analysis.evaluation import evaluate
from tfmpq.data.evaluation_set import load_labelled
from tfmpq.demo import demo
from tfmpq.files import read_npz
from tfmpq.keras import SimulationSettings, annotate, simulate


def accuracy(model: Any) -> float:
    test = read_npz(demo.TEST)
    predicted = model.predict(test["x"].astype(np.float32), batch_size=100, verbose=0).argmax(axis=1)
    return float(np.mean(predicted == test["y"]))


@pytest.mark.slow
@pytest.mark.nightly
def test_three_epochs_repair_three_bits(tmp_path: Path):
    keras.utils.set_random_seed(0)
    images = read_npz(demo.CALIBRATION)["x"].astype(np.float32)
    teacher: Any = keras.models.load_model(demo.MODEL)
    student = simulate(annotate(teacher, SimulationSettings(bits=3, points=1)), images)

    def converted() -> float:
        content = tfmpq.convert(student, images, lowering="fused", sensitivity="energy", progress=False).tflite_model
        top1 = evaluate(content, load_labelled(demo.TEST)).top1
        assert top1 is not None
        return top1

    untuned = accuracy(student)
    rate: Any = keras.optimizers.schedules.CosineDecay(5e-4, 3 * 13)
    student.compile(keras.optimizers.Adam(rate), "kl_divergence")
    student.fit(images, teacher.predict(images, verbose=0), batch_size=16, epochs=3, verbose=0)
    tuned, tuned_file = accuracy(student), converted()
    print(f"accuracy: {untuned:.3f} -> {tuned:.3f}, of the file {tuned_file:.3f}")
    # Measured: from 39 % to 95 %; float 97 %. Training differs by processor and version.
    assert untuned < 0.6
    assert tuned > untuned + 0.25
    # 700 images: 2 % are 14 of them, whose two best scores are nearly equal.
    assert abs(tuned_file - tuned) < 0.02

    assert accuracy(reloaded(student, tmp_path / "tuned.keras")) == tuned
