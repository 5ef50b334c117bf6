"""Distillation without labels: never worse than given, exact integers, and what is refused."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.errors import DataError, DataWarning, ModelError, OptionError
from tests.support.keras_nets import data, separable
from tfmpq.keras import annotate
from tfmpq.keras.source import find_wrappers
from tfmpq.training import Distilled, distill
from tfmpq.training.taught import Taught

COARSE = tfmpq.Recipe([tfmpq.Rule(".*", bits=3, max_points=2)])


@cache
def given() -> tuple[Any, np.ndarray, Any]:
    """A model, images, and a plan with one point in some rows and two in others."""
    model = separable()
    x = data(model, 128)
    prepared = tfmpq.prepare(
        model, x, recipe=COARSE, equalize="off", ranges="minmax", sensitivity="energy", progress=False
    )
    return model, x, prepared.finish(budget=tfmpq.ExtraBits(0.3), validate=False)


def refined(**options: Any) -> Distilled:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return distill(*given(), progress=False, **options)


@cache
def improved() -> Distilled:
    return refined(epochs=8, learning_rate=0.01)


@cache
def untrained() -> Distilled:
    return refined(epochs=1, learning_rate=1e-12)


def loss(model: Any, x: np.ndarray) -> float:
    target, outputs = np.asarray(given()[0](x)), np.asarray(model(x))
    return float(np.square(outputs - target).mean() / np.square(target).mean())


def test_it_comes_closer_to_the_float_model_on_images_it_has_not_seen():
    found = improved()
    assert found.epoch > 0
    assert found.after < 0.9 * found.before
    assert len(found.losses) == 8
    assert found.after == min(found.losses)
    held = given()[1][7::8]
    assert found.held_back == len(held)
    assert loss(found.model, held) == pytest.approx(found.after, rel=1e-4)  # float32, in batches
    assert str(found).startswith(f"loss {found.before:.4g} -> {found.after:.4g} on 16 held-back images (epoch ")
    assert str(found).endswith("; both of the simulation in Keras, not of the file")


def test_penalties_and_frozen_layers_of_the_model_change_nothing():
    model, x, result = given()
    tuned = keras.models.clone_model(model)
    tuned.set_weights(model.get_weights())
    for layer in tuned.layers:
        if hasattr(layer, "kernel_regularizer"):
            layer.kernel_regularizer = keras.regularizers.L2(1.0)
    tuned = keras.models.clone_model(tuned)
    tuned.set_weights(model.get_weights())
    tuned.trainable = False
    found = distill(tuned, x, result, epochs=8, learning_rate=0.01, progress=False)
    assert (found.before, found.losses) == (improved().before, improved().losses)  # the very same steps
    assert not found.model.get_layer("stem").trainable


def test_counts_and_bits_stay_and_the_file_has_the_trained_integers():
    found, (model, x, result) = improved(), given()
    known = tfmpq.prepare(found.model, x, sensitivity="energy", progress=False)
    assert not known.notes
    changed = 0
    for weighed in known.weighed:
        wrapper, plan = find_wrappers(found.model)[weighed.name], result.plan.layers[weighed.name]
        kernel = np.asarray(wrapper.layer.kernel)
        trained = wrapper.quantizer.points(kernel)
        assert trained.bits == plan.settings.bits
        np.testing.assert_array_equal(trained.counts, plan.counts)
        chosen = weighed.weight(trained.counts)
        for one, other in zip(chosen.points, trained.points, strict=True):
            np.testing.assert_array_equal(one.codes, other.codes, err_msg=weighed.name)
        np.testing.assert_array_equal(np.asarray(wrapper.simulated_weight()), wrapper.file_weight())
        original = model.get_layer(weighed.name)
        changed += int((np.asarray(original.kernel) != kernel).any())
    assert changed == len(known.weighed)
    known.finish()  # validation compares every point with the integers of the file


# By day the rate of which the loss is no number.
@pytest.mark.parametrize("rate", [pytest.param(30.0, marks=pytest.mark.nightly), 1e30])
def test_a_harmful_rate_gives_back_the_plan(rate: float):
    before = [np.asarray(v).copy() for v in given()[0].variables]
    harmed = refined(epochs=1, learning_rate=rate)
    assert harmed.epoch == 0
    assert harmed.after == harmed.before
    start = [np.asarray(v) for v in untrained().model.variables]
    for wanted, found in zip(start, harmed.model.variables, strict=True):
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-6, atol=1e-9, err_msg=found.path)
    assert loss(harmed.model, given()[1][7::8]) == pytest.approx(harmed.before, rel=1e-4)
    for wanted, found in zip(before, given()[0].variables, strict=True):
        np.testing.assert_array_equal(np.asarray(found), wanted)  # the float model is not touched


def test_what_was_frozen_is_trainable_again():
    assert all(v.trainable for layer in find_wrappers(improved().model).values() for v in layer.layer.variables)
    norms = [layer.norm for layer in find_wrappers(improved().model).values() if layer.norm is not None]
    assert norms
    assert all(norm.gamma.trainable and not norm.moving_mean.trainable for norm in norms)


def test_few_images_are_said_and_nothing_is_printed_without_progress(capfd: pytest.CaptureFixture[str]):
    with pytest.warns(DataWarning, match=r"128 images are few: .* Give 1000 or more"):
        distill(*given(), epochs=1, crop=0.6, flip=True, progress=False)
    assert "epoch" not in capfd.readouterr().out.lower()


@pytest.mark.slow
def test_without_a_plan_it_makes_one():
    model, x, _ = given()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found = distill(model, x, epochs=1, progress=False)
    assert set(find_wrappers(found.model)) == {"stem", "depthwise", "project", "classifier"}


def test_the_loss_of_training_is_what_epochs_are_judged_by():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    both: Any = Taught(model, model, temperature=1.0, share=1.0, outputs=["probabilities"], frozen=True)
    both.compile(jit_compile=False)
    assert both.evaluate(np.ones((8, 4), np.float32), verbose=0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0 is out of range"),
        ({"batch_size": 1.5}, r"batch_size=1\.5 is out of range"),
        ({"learning_rate": float("nan")}, "learning_rate=nan is out of range"),
        ({"crop": 2}, "crop=2 is no share"),
        ({"outputs": "scores"}, "outputs='scores'"),
        ({"seed": -1}, "seed=-1 is out of range"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str):
    with pytest.raises(OptionError, match=message):
        refined(**options)


@pytest.mark.filterwarnings("ignore:.*images are few")
def test_bad_models_and_images():
    model, x, result = given()
    with pytest.raises(DataError, match="images gives no samples"):
        distill(model, x[:0], result)
    with pytest.raises(DataError, match=r"sample 2 of images, .* is nan"):
        distill(model, np.where(np.arange(128)[:, None, None, None] == 2, np.nan, x), result)
    broken = separable()
    kernel = np.asarray(broken.get_layer("stem").kernel).copy()
    kernel[0, 0, 0, 0] = np.nan
    broken.get_layer("stem").kernel.assign(kernel)
    with pytest.raises(ModelError, match=r"layer 'stem', .* is nan at channel 0"):
        distill(broken, x, result, progress=False)
    with pytest.raises(ModelError, match="is annotated or simulated already"):
        distill(annotate(model), x, result)
    with pytest.raises(ModelError, match="neither a Keras 3 layer nor"):
        distill("model.keras", x, result)
