"""What is quantized in place of the user's model, and what of it where TensorFlow quantizes no rewritten one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import MissingDependencyError, ModelError
from tests.support.range_cases import case_of
from tfmpq.activations import mend
from tfmpq.activations.base import base_of, runs
from tfmpq.activations.subject import Case, Subject
from tfmpq.recipe.rules import Recipe, Rule

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def case() -> Case:
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    y = keras.layers.Dense(8, activation="relu", name="first")(x)
    model = keras.Model(x, keras.layers.Dense(4, name="last")(y))
    return case_of(model, np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32))


@pytest.fixture
def with_step(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return lambda **changes: monkeypatch.setattr(mend, "_STEPS", [lambda subject, case: replace(subject, **changes)])


def first_tensor(case: Case) -> str:
    return case.model.graph.ops[0].outputs[0].name


def test_without_a_change_the_stock_file_is_the_base(case: Case, with_step: Callable[..., None]):
    with_step()
    found = mend.mend_activations(case)
    assert found.base is case.stock
    assert found.subject.model is case.model


@pytest.mark.parametrize("known", [True, False])
def test_the_base_has_the_ranges_of_the_steps(case: Case, with_step: Callable[..., None], known: bool):
    name = first_tensor(case)
    with_step(ranges={name: (-1.0, 1.55)}, measured=case.measured if known else None)
    base = mend.mend_activations(case).base
    scales = {t.name: (t.scale, t.zero_point) for op in base.graph.ops for t in op.outputs}
    assert scales.pop(name) == (pytest.approx(0.01, rel=1e-6), -28)  # a float32
    # Measured on all samples, or measured before and made with one sample: all else is as in stock's file.
    stock = {t.name: (t.scale, t.zero_point) for op in case.stock.graph.ops for t in op.outputs}
    assert scales == {other: stock[other] for other in scales}


def test_without_the_quantizer_of_files_the_model_stays_as_it_is(
    case: Case, with_step: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    def missing(*args: Any, **options: Any) -> bytes:
        raise MissingDependencyError("no calibrator here")

    monkeypatch.setattr("tfmpq.activations.base.int8_twin", missing)
    with_step(ranges={first_tensor(case): (0.0, 1.0)})
    found = mend.mend_activations(case)
    assert found.base is case.stock
    assert (found.subject.model, found.subject.ranges) == (case.model, {})
    (warning,) = found.subject.warnings
    assert "left as TensorFlow's converter quantizes them: no calibrator here" in warning.text


@pytest.mark.parametrize("rules", [(), (Rule("^first$", range=(0.0, 1.0)),)])
def test_what_no_runtime_loads_is_left_as_it_was(
    case: Case, with_step: Callable[..., None], monkeypatch: pytest.MonkeyPatch, rules: Sequence[Rule]
):
    def refused(*args: Any) -> None:
        raise ModelError("kernels refuse it")

    monkeypatch.setattr(mend, "check_int8", refused)
    with_step(ranges={first_tensor(case): (0.0, 1.0)})
    changed = replace(case, recipe=Recipe(rules))
    if rules:
        with pytest.raises(ModelError, match="kernels refuse it"):
            mend.mend_activations(changed)
        return
    found = mend.mend_activations(changed)
    assert (found.base, found.subject.model, found.subject.ranges) == (case.stock, case.model, {})
    (warning,) = found.subject.warnings
    assert "kernels refuse it" in warning.text


def test_files_that_kernels_abort_on_are_told_apart(case: Case):
    assert runs(case.stock.content, case)
    twin = base_of(Subject(case.model, ranges={first_tensor(case): (-1e-30, 1e-30)}), case)
    assert not runs(twin.content, case)
