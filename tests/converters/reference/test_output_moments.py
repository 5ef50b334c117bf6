from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from converters.layers.layer import Layer
from converters.native_logs import quiet
from converters.reference.output_moments import output_moments
from converters.tflite.graph import Model
from tests.support.pipeline import Converted, convert_once

CLASSES = 5


@pytest.fixture(scope="module")
def two_layers() -> Converted:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet():
        import keras
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            keras.layers.Conv2D(6, 1, name="mix"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(CLASSES, activation="softmax", name="logits"),
        ]
    )
    rng = np.random.default_rng(0)
    name = model.inputs[0].name
    return convert_once(model, [{name: rng.normal(size=(1, 4, 4, 3)).astype(np.float32)} for _ in range(24)])


def moments(found: Converted, count: int, draws: int, **options: Any) -> Any:
    model: Model = found.graph
    layers: list[Layer] = list(found.layers.values())
    feeds = dict(model.signatures[0].inputs)
    samples = [{name: found.samples[i][key] for name, key in zip(feeds, found.samples[i], strict=True)}
               for i in range(count)]  # fmt: skip
    return output_moments(model.graph, layers, samples, feeds, draws=draws, **options)


def test_moment_at_the_logits_is_that_of_the_tempered_softmax(two_layers: Converted):
    """At the logits it is known: the mean of diag(p) - p p^T at temperature 4, here off the diagonal too."""
    found = moments(two_layers, 24, 400)
    raw = [np.log(_softmax_of(two_layers, sample)) / 4 for sample in two_layers.samples]
    p = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
    expected = np.mean([np.diag(each) - np.outer(each, each) for each in p], axis=0)
    assert 0 <= found.shares["logits"] < 0.05
    # 9600 draws: a standard error of 1.5 % of a diagonal entry.
    np.testing.assert_allclose(found.values["logits"], expected, atol=0.06 * expected.max())


def test_a_layer_before_pooling_sees_the_rows_of_the_next(two_layers: Converted):
    found = moments(two_layers, 24, 200)
    weight = two_layers.layers["logits"].weight.astype(np.float64)
    expected = weight.T @ found.values["logits"] @ weight / 16  # 16 positions, each a sixteenth of the mean
    np.testing.assert_allclose(found.values["mix"], expected, atol=0.1 * np.abs(expected).max())


def test_few_samples_tell_little_off_the_diagonal_and_one_batch_nothing(two_layers: Converted):
    many, few = moments(two_layers, 24, 20, batch=2), moments(two_layers, 6, 1, batch=2)
    assert many.shares["mix"] < few.shares["mix"]
    one = moments(two_layers, 2, 1, batch=2)
    assert one.shares["mix"] == 1.0
    off = one.values["mix"][~np.eye(6, dtype=bool)]
    assert not off.any()


def test_the_same_seed_gives_the_same_moments(two_layers: Converted):
    first, second, other = (moments(two_layers, 8, 2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.values["mix"], second.values["mix"])
    assert not np.array_equal(first.values["mix"], other.values["mix"])


def test_no_samples_is_said(two_layers: Converted):
    assert "no samples" in moments(two_layers, 0, 1).reason


def _softmax_of(found: Converted, sample: dict[str, np.ndarray]) -> np.ndarray:
    x = next(iter(sample.values())).reshape(-1, 3).astype(np.float64)
    mix, logits = found.layers["mix"], found.layers["logits"]
    hidden = (x @ mix.weight.T + mix.uses[0].bias).mean(axis=0)
    values = logits.weight @ hidden + logits.uses[0].bias
    powers = np.exp(values - values.max())
    return powers / powers.sum()
