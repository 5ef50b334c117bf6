"""Losses of branches at the one scale of a join, against stock's files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.range_cases import case_of
from tfmpq.activations.ranges.joins import note_joins, uneven_joins
from tfmpq.activations.subject import Case, Subject

keras = pytest.importorskip("keras")
layers = keras.layers


def joined(size: float) -> Case:
    """An input of the given size joined to a layer's output of about 1, in front of a layer."""
    keras.utils.set_random_seed(0)
    x, z = keras.Input((8, 8, 4), name="x"), keras.Input((8, 8, 2), name="z")
    y = layers.Concatenate(name="join")([layers.Conv2D(4, 1, name="branch")(x), z])
    model = keras.Model([x, z], layers.Conv2D(3, 3, name="after")(y), name="net")
    random = np.random.default_rng(0)
    rows = [{"x": random.normal(size=(1, 8, 8, 4)), "z": size * random.normal(size=(1, 8, 8, 2))} for _ in range(32)]
    return case_of(model, [{name: a.astype(np.float32) for name, a in row.items()} for row in rows])


def rounded_db(values: np.ndarray, scale: float) -> float:
    error = values - scale * np.rint(values / scale)
    return float(10 * np.log10(np.square(values).sum() / np.square(error).sum()))


def test_branches_have_the_noise_of_the_joint_scale():
    case = joined(100.0)
    assert case.measured is not None
    samples = list(case.data.fit())[:4]
    (join,) = uneven_joins(case.model, case.measured, samples)
    branch, given = join.branches
    (scale,) = {t.scale for op in case.stock.graph.ops if op.name == "CONCATENATION" for t in op.outputs}
    values = np.concatenate([feed["z"] for feed in samples]).astype(np.float64)
    assert given.joined_db == pytest.approx(rounded_db(values, scale), abs=0.3)  # dB; 512 rounding errors
    assert given.own_db == pytest.approx(given.joined_db, abs=0.5)  # it makes the scale
    assert branch.own_db - branch.joined_db > 20
    assert branch.joined_db < 15


def test_poor_branches_are_named():
    case = joined(100.0)
    (warning,) = note_joins(Subject(case.model), case).warnings
    assert (warning.about, warning.sign) == ("activations", "uneven join")
    assert "'branch' (" in warning.text
    assert "'join' (CONCATENATION)" in warning.text
    assert "'z'" not in warning.text


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_even_enough_joins_are_not(size: float):
    case = joined(size)
    assert note_joins(Subject(case.model), case).warnings == ()


def test_a_range_that_was_set_counts():
    case = joined(100.0)
    name = next(op.outputs[0].name for op in case.model.graph.ops if op.name == "CONCATENATION")
    subject = replace(Subject(case.model), ranges={name: (-4.0, 4.0)})
    assert note_joins(subject, case).warnings == ()
