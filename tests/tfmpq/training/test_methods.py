"""The functions that users call: which layers get what, under XLA too, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from converters.errors import DataError, ModelError, OptionError
from tests.support.keras_nets import data, separable
from tfmpq.keras import SimulationSettings, annotate
from tfmpq.keras.source import find_wrappers
from tfmpq.training import callbacks, differentiable, inq, lg_lsq, limited_precision, ttq
from tfmpq.training.fixed_point import FixedPointWeight
from tfmpq.training.learned_step import LearnedStep
from tfmpq.training.levels import LearnedLevels
from tfmpq.training.powers import PowersOfTwo
from tfmpq.training.rounding import Rounding
from tfmpq.training.surrogate import LSQ
from tfmpq.training.ternary import Ternary

FUNCTIONS: list[Callable[..., Any]] = [lg_lsq, ttq, inq, limited_precision]
# Methods that leave some layers at 8 bits, and the quantizers of the others.
KINDS: list[tuple[Callable[..., Any], type]] = [
    (lg_lsq, LearnedStep),
    (ttq, Ternary),
    (inq, PowersOfTwo),
    (differentiable, LearnedLevels),
]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return data(separable())


@pytest.mark.parametrize(("function", "kind"), KINDS)
def test_first_last_and_depthwise_layers_have_eight_bits(function: Callable[..., Any], kind: type, x: np.ndarray):
    found = find_wrappers(function(separable(), x, activation_bits=4))
    for name in ("stem", "depthwise", "classifier"):
        assert isinstance(found[name].quantizer, LearnedStep)
        assert found[name].quantizer.bits == 8
        assert found[name].input_quantizer is None
    assert isinstance(found["project"].quantizer, kind)
    assert (found["project"].input_quantizer.bits, found["project"].input_quantizer.signed) == (4, False)


@pytest.mark.parametrize(("function", "kind"), KINDS)
def test_annotated_depthwise_layers_have_what_is_asked_for(function: Callable[..., Any], kind: type, x: np.ndarray):
    annotated = annotate(separable(), SimulationSettings(bits=3, points=1), match="depthwise")
    found = find_wrappers(function(annotated, x, activation_bits=4))
    assert list(found) == ["depthwise"]
    assert isinstance(found["depthwise"].quantizer, kind)
    assert (found["depthwise"].input_quantizer.bits, found["depthwise"].input_quantizer.signed) == (4, False)


def ends() -> Any:
    """A network of first, last and depthwise layers only."""
    layers = [
        keras.layers.Conv1D(4, 3, name="first"),
        keras.layers.DepthwiseConv1D(3, name="depthwise"),
        keras.layers.Dense(2, name="last"),
    ]
    return keras.Sequential([keras.Input((8, 2)), *layers], name="ends")


@pytest.mark.parametrize("function", [function for function, _ in KINDS])
def test_models_of_such_layers_only_are_refused(function: Callable[..., Any]):
    with pytest.raises(ModelError, match=rf"tfmpq\.training\.{function.__name__}: model 'ends' has no layer to train"):
        function(ends(), data(ends()))


def test_models_of_such_layers_only_where_that_is_asked_for():
    every = {"first", "depthwise", "last"}
    assert set(find_wrappers(limited_precision(ends(), data(ends())))) == every
    assert set(find_wrappers(lg_lsq(ends(), data(ends()), bits=8, start="magnitudes"))) == every
    chosen = annotate(ends(), SimulationSettings(bits=4), match="last")
    assert set(find_wrappers(inq(chosen, data(ends())))) == {"last"}


def test_fixed_point_numbers_are_for_all_layers(x: np.ndarray):
    found = find_wrappers(limited_precision(separable(), x))
    assert all(isinstance(layer.quantizer, FixedPointWeight) for layer in found.values())


def test_annotated_layers_have_their_bits(x: np.ndarray):
    annotated = annotate(separable(), SimulationSettings(bits=3, points=1), match="project|stem")
    annotated = annotate(annotated, SimulationSettings(bits=5, points=1), match="classifier")
    found = find_wrappers(lg_lsq(annotated, x, bits=2))
    assert {name: layer.quantizer.bits for name, layer in found.items()} == {"stem": 3, "project": 3, "classifier": 5}


def test_parts_of_the_method_can_be_switched_off(x: np.ndarray):
    plain = lg_lsq(separable(), x, ssg=False, asr=False, mde=False, learn_steps=False, per_channel=False)
    quantizer = find_wrappers(plain)["project"].quantizer
    assert quantizer.surrogate == LSQ
    assert not quantizer.trainable_variables
    assert quantizer.step.value().shape == ()
    learned = find_wrappers(lg_lsq(separable(), x, start="magnitudes"))["project"].quantizer
    assert learned.surrogate.ssg
    assert learned.surrogate.asr
    assert learned.surrogate.mde
    assert [v.shape for v in learned.trainable_variables] == [(8,)]


# By day the rounding that draws random numbers.
@pytest.mark.slow
@pytest.mark.parametrize("rounding", ["stochastic", pytest.param("nearest", marks=pytest.mark.nightly)])
def test_xla_compiles_training_and_learns(rounding: Rounding):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, activation=a) for n, a in ((8, "relu"), (8, "relu"), (2, None))]
    model = keras.Sequential([keras.Input((4,)), *layers])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    target = np.sin(3 * x[:, :2])
    student = lg_lsq(model, x, bits=3, activation_bits=4, rounding=rounding, start="magnitudes")
    student.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=True)
    before = [np.asarray(v).copy() for v in student.trainable_variables]
    history = student.fit(x, target, batch_size=8, epochs=16, verbose=0, callbacks=callbacks(student)).history
    assert student.jit_compile
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert all((b != np.asarray(v)).any() for b, v in zip(before, student.trainable_variables, strict=True))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_models_that_cannot_be_trained(function: Callable[..., Any]):
    ones = np.ones((4, 3), np.float32)
    with pytest.raises(ModelError, match=rf"tfmpq\.training\.{function.__name__}: model '.*' is not built"):
        function(keras.Sequential([keras.layers.Dense(2)]), ones)
    with pytest.raises(ModelError, match="is a layer, not a model"):
        function(keras.layers.Dense(2), ones)
    with pytest.raises(ModelError, match="is an object of tf_keras"):
        function(tf_keras.Sequential([tf_keras.layers.Dense(2)]), ones)
    with pytest.raises(DataError, match="no samples"):
        function(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), [])


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lg_lsq, {"bits": 1}, r"bits=1 is out of range; give a whole number from 2 to 8"),
        (lg_lsq, {"bits": 9}, "bits=9"),
        (lg_lsq, {"bits": 4.0}, "bits=4.0"),
        (lg_lsq, {"activation_bits": 1}, "activation_bits=1 is out of range"),
        (lg_lsq, {"rounding": "up"}, "rounding='up'"),
        (ttq, {"activation_bits": 12}, "activation_bits=12"),
        (ttq, {"threshold": 1.0}, "threshold=1.0 is out of range"),
        (inq, {"per_channel": "x"}, "per_channel='x': give True or False"),
        (lg_lsq, {"per_channel": None}, "per_channel=None: give True or False"),
        (inq, {"bits": 6}, "bits=6 is out of range; give a whole number from 2 to 5"),
        (inq, {"portions": (0.5, 0.25, 1.0)}, r"portions=\(0\.5, 0\.25, 1\.0\): give growing shares"),
        (inq, {"portions": (0.5, 0.75)}, "the last one 1"),
        (inq, {"portions": 0.5}, "give growing shares"),
        (limited_precision, {"integer_bits": 0}, "integer_bits=0"),
        (limited_precision, {"integer_bits": 4, "fraction_bits": 16}, r"integer_bits \+ fraction_bits=20"),
    ],
)
def test_options_out_of_range(function: Callable[..., Any], options: dict[str, Any], message: str):
    with pytest.raises(OptionError, match=message):
        function(separable(), None, **options)


def test_training_twice_is_refused(x: np.ndarray):
    with pytest.raises(ModelError, match=r"tfmpq\.training\.ttq: model 'separable' is simulated already"):
        ttq(lg_lsq(separable(), x, start="magnitudes"), x)
