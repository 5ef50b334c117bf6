"""Ranges are narrowed where outputs gain, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tfmpq
from tests.support.pipeline import run_real
from tests.support.range_cases import case_of, uneven_net, uneven_samples
from tfmpq.activations.base import base_of, with_owners
from tfmpq.activations.output_noise import gain_of, noises, read_outputs
from tfmpq.activations.ranges.choose import _scaled, choose_ranges
from tfmpq.activations.subject import Case, Subject

keras = pytest.importorskip("keras")
layers = keras.layers


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(uneven_net(), uneven_samples())


@pytest.fixture(scope="module")
def chosen(case: Case) -> Subject:
    return choose_ranges(Subject(case.model), case)


def held_out_gain(case: Case, subject: Subject) -> float:
    samples = case.data.held_out
    reference = read_outputs(case.model, samples)
    files = (case.stock, base_of(subject, case))
    return gain_of(*(noises(reference, read_outputs(file.model, samples)) for file in files)).mean


def test_large_values_that_hardly_count_are_clipped(case: Case, chosen: Subject):
    first, leaky = (op.outputs[0].name for op in case.model.graph.ops[:2])
    assert {first, leaky} <= set(chosen.ranges)
    assert case.measured is not None
    for name, (low, high) in chosen.ranges.items():
        assert case.measured[name][0] <= low <= 0 <= high <= case.measured[name][1]
    assert not {t.name for t in (*case.model.graph.inputs, *case.model.graph.outputs)} & set(chosen.ranges)
    assert held_out_gain(case, chosen) > 3  # dB; nothing was fitted to these samples, nor decided on them


def test_what_was_done_is_told(case: Case, chosen: Subject):
    whole, *entries = chosen.mended
    assert {entry.kind for entry in chosen.mended} == {"range"}
    assert whole.where == f"{len(chosen.ranges)} tensors"
    assert whole.before_db is not None
    assert whole.after_db is not None
    assert whole.after_db - whole.before_db > 3
    assert {entry.where for entry in entries} <= set(case.layer_names.values())
    assert all(entry.after_db > entry.before_db for entry in entries)  # pyright: ignore


def test_a_rewritten_model_is_measured_anew(case: Case, chosen: Subject):
    copy = case.model.clone().model
    found = choose_ranges(Subject(copy), case)
    assert found.model is copy
    for own, expected in ((found.ranges, chosen.ranges), (found.measured, case.measured)):  # by other kernels
        assert own is not None
        assert {n: pytest.approx(span, rel=1e-5) for n, span in (expected or {}).items()} == own
    assert base_of(found, case).content != base_of(Subject(copy), case).content


def test_ranges_that_were_set_stay(case: Case, chosen: Subject):
    name = next(iter(chosen.ranges))
    given = replace(Subject(case.model), ranges={name: (-1.0, 2.0)})
    found = choose_ranges(given, case)
    assert found.ranges[name] == (-1.0, 2.0)
    assert set(found.ranges) <= set(chosen.ranges)


def test_minmax_leaves_everything_as_it_is(case: Case):
    subject = Subject(case.model)
    assert choose_ranges(subject, replace(case, options=tfmpq.Options(ranges="minmax"))) is subject


def test_what_held_back_samples_do_not_confirm_is_dropped(case: Case):
    """Samples to decide on are made of what the others hardly have."""
    random = np.random.default_rng(1)
    large = [{"x": (200 * random.normal(size=(1, 12, 12, 4))).astype(np.float32)} for _ in range(8)]
    split = replace(case.data, judge=large)
    assert choose_ranges(Subject(case.model), replace(case, data=split)).ranges == {}


@pytest.mark.parametrize(("count", "gains"), [(2, False), (20, True)])
def test_few_samples_are_divided(count: int, gains: bool):
    """Of less than 32 none are held back; one to decide on has no error of its mean."""
    case = case_of(uneven_net(), uneven_samples(count))
    assert case.data.fitted
    assert bool(choose_ranges(Subject(case.model), case).ranges) == gains


def test_what_the_float_tail_reads_is_not_clipped(case: Case, chosen: Subject):
    """In front of an output there may be small channels, which do not count beside large ones."""
    scores = case.model.graph.outputs[0].name
    subject = Subject(case.model, float_tail=frozenset([scores]))
    assert _scaled(with_owners(subject, case)).ranges.keys() & chosen.ranges.keys()
    read = [t.name for t in case.model.graph.ops[-1].inputs if t is not None]
    assert set(read) & set(chosen.ranges)
    assert not set(read) & _scaled(with_owners(subject, case)).ranges.keys()


def test_even_values_lose_nothing():
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 4), name="x")
    y = layers.ReLU(6.0)(layers.Conv2D(8, 3, name="first", kernel_initializer=keras.initializers.RandomNormal(0, 1))(x))
    model = keras.Model(x, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3, name="second")(y))))
    samples = np.random.default_rng(0).uniform(-1, 1, (64, 8, 8, 4)).astype(np.float32)
    case = case_of(model, samples)
    assert held_out_gain(case, choose_ranges(Subject(case.model), case)) > -0.5  # dB; noise of one rounding


def test_scores_are_not_clipped():
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    y = layers.Dense(8, activation="relu", name="first")(x)
    model = keras.Model(x, layers.Softmax()(layers.Dense(6, name="scores")(y)))
    samples = np.random.default_rng(0).standard_t(2, size=(64, 16)).astype(np.float32)
    case = case_of(model, samples)
    found = choose_ranges(Subject(case.model), case)
    scores = next(op.input(0).name for op in case.model.graph.ops if op.name == "SOFTMAX")
    assert scores not in found.ranges


def test_converted_files_gain():
    samples = uneven_samples()
    model, feeds = uneven_net(), [{"x": row[None]} for row in samples[7::8]]
    options = {"progress": False, "bits": 8, "target": "builtin", "equalize": "off"}
    results = [tfmpq.convert(model, samples, ranges=ranges, **options) for ranges in ("auto", "minmax")]
    right = model.predict(samples[7::8], verbose=0)
    errors = [float(((run_real(r.tflite_model, feeds)[0][:, 0] - right) ** 2).mean()) for r in results]
    assert errors[0] < 0.5 * errors[1]
