"""What differentiable quantization refuses; its files are tested with those of the other methods."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest

import tfmpq
from converters.errors import OptionError
from converters.tflite.reader import load
from tests.support.keras_nets import data, reloaded, separable
from tfmpq.keras import SimulationSettings, annotate
from tfmpq.keras.kernels import kernel_of
from tfmpq.keras.source import find_wrappers
from tfmpq.training import differentiable
from tfmpq.training.rounding import Rounding


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 1e-3}, "tolerance=0.001 cannot be reached: 2 points of 4 bits .* 0.0042 .* Give points=3"),
        ({"bits": 2, "points": 4, "tolerance": 1e-3}, "Give more bits, or a tolerance of 0.0059"),
        ({"tolerance": float("nan")}, "tolerance=nan is out of range"),
        ({"tolerance": True}, "tolerance=True is out of range"),
        ({"bits": 8, "points": 3}, "3 points of 8 bits are too fine.* Give points=2 or fewer"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"points": 5}, "points=5 is out of range"),
        ({"per_channel": 1}, "per_channel=1: give True or False"),
        ({"start": "zeros"}, "start='zeros': give 'points' or 'quantiles'"),
        ({"bits": 1}, "bits=1 is out of range"),
        ({"rounding": "up"}, "rounding='up'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str):
    with pytest.raises(OptionError, match=message):
        differentiable(None, None, **options)  # pyright: ignore[reportArgumentType]


def test_levels_of_2_bits_are_on_a_grid_of_four_points():
    model = separable()
    student = differentiable(model, data(model), bits=2, start="quantiles")
    quantizer = find_wrappers(student)["project"].quantizer  # the others have 8 bits and learned steps
    assert quantizer.most_points == 4
    assert quantizer.tolerance == 0.5 / 85
    names = [op.name for op in load(tfmpq.convert(student, data(model), progress=False).tflite_model).graph.ops]
    assert names.count("CONV_2D") == 2  # an operator a layer all the same: rows merge into int8
    assert names.count("DEPTHWISE_CONV_2D") == 1


def test_a_layer_whose_bits_do_not_reach_the_tolerance_is_named():
    model = annotate(separable(), SimulationSettings(bits=3))
    with pytest.raises(OptionError, match=r"layer 'stem': tolerance=0.005 cannot be reached: 2 points of 3 bits"):
        differentiable(model, data(model), tolerance=0.005)


# By day one rounding; test_levels.py looks at the gradients of both.
@pytest.mark.parametrize(
    "rounding", [r if r == "stochastic" else pytest.param(r, marks=pytest.mark.nightly) for r in get_args(Rounding)]
)
def test_levels_learn_and_weights_stay(rounding: Rounding, tmp_path: Path):
    model = separable()
    for layer in model.layers:  # a penalty would be all the gradient that these weights have
        if hasattr(layer, "kernel_regularizer"):
            layer.kernel_regularizer = keras.regularizers.L2(1e-3)
    x = data(model)
    target = np.asarray(model(x))
    chosen = annotate(model, SimulationSettings(bits=2), match="depthwise|project")
    student = differentiable(chosen, x, rounding=rounding)
    assert len(student.losses) == 2  # the penalties of the stem and the classifier
    student = reloaded(student, tmp_path / "student.keras")  # files do not say which variables are trained
    assert len(student.losses) == 2
    before = {path: np.asarray(kernel_of(layer.layer)) for path, layer in find_wrappers(student).items()}
    assert list(before) == ["depthwise", "project"]
    student.compile(keras.optimizers.AdamW(weight_decay=0.1), "mse", jit_compile=False)
    losses = student.fit(x, target, epochs=4, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for path, layer in find_wrappers(student).items():
        np.testing.assert_array_equal(np.asarray(kernel_of(layer.layer)), before[path], err_msg=path)
