"""What is quantized in place of the user's model, and what of it where TensorFlow quantizes no rewritten one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import MissingDependencyError
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.targets import load_target
from converters.tflite.file import File
from converters.tflite.reader import load
from tfmpq.activations import mend
from tfmpq.activations.subject import Case, Subject
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def case() -> Case:
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    y = keras.layers.Dense(8, activation="relu", name="first")(x)
    loaded = load_model(keras.Model(x, keras.layers.Dense(4, name="last")(y)))
    data = hold_out(check_samples(np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32), loaded.inputs))
    stock = File.parse(int8_twin(loaded, data.whole.originals))
    return Case(loaded, load(loaded.flatbuffer), stock, data, Options(), Recipe(), load_target("xnnpack"))


def test_without_a_change_the_stock_file_is_the_base(case: Case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mend, "_STEPS", [lambda subject, case: subject])
    found = mend.mend_activations(case)
    assert found.base is case.stock
    assert found.subject.model is case.model


def test_the_base_has_the_ranges_of_the_steps(case: Case, monkeypatch: pytest.MonkeyPatch):
    (name,) = (t.name for op in case.model.graph.ops[:1] for t in op.outputs)
    monkeypatch.setattr(mend, "_STEPS", [lambda subject, case: replace(subject, ranges={name: (-1.0, 1.55)})])
    base = mend.mend_activations(case).base
    (tensor,) = (t for t in base.graph.tensors() if t.name == name)
    assert (tensor.scale, tensor.zero_point) == (pytest.approx(0.01, rel=1e-6), -28)  # a float32


def test_without_the_quantizer_of_files_the_model_stays_as_it_is(case: Case, monkeypatch: pytest.MonkeyPatch):
    def missing(*args: Any, **options: Any) -> bytes:
        raise MissingDependencyError("no calibrator here")

    monkeypatch.setattr(mend, "int8_twin", missing)
    monkeypatch.setattr(mend, "_STEPS", [lambda subject, case: Subject(subject.model, {"x": (0.0, 1.0)})])
    found = mend.mend_activations(case)
    assert found.base is case.stock
    assert (found.subject.model, found.subject.ranges) == (case.model, {})
    (warning,) = found.subject.warnings
    assert "left as TensorFlow's converter quantizes them: no calibrator here" in warning.text
