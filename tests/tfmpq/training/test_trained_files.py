"""From training to the file: integers, ranges of activations, what is saved and resumed."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.errors import DataWarning, ModelError
from converters.layers.find import find_layers
from converters.points import merge
from converters.tflite.reader import load
from tests.support.keras_nets import NETS, data, loaded, reloaded, separable
from tests.support.pipeline import run_real
from tests.support.trained_nets import METHODS, fitted, low_bit_depthwise, optimizer, trained
from tfmpq.keras import SimulationSettings, annotate
from tfmpq.keras.source import find_wrappers
from tfmpq.preparation import Prepared
from tfmpq.training import inq, lg_lsq

FAST = {("separable", "ttq"), ("shared", "w4a4"), ("sequence", "inq5"), ("transposed", "fixed")}
REST = {("separable", "stochastic"), ("shared", "levels"), ("sequence", "lg_lsq"), ("transposed", "inq4")}
# By day every network, and half of the methods; the others learn in test_course.py and test_taught.py.
PAIRS = [*sorted(FAST), *(pytest.param(*pair, marks=pytest.mark.nightly) for pair in sorted(REST))]
LOW_BIT_DEPTHWISE = ("sequence", "transposed")  # annotated as a whole: depthwise layers keep 8 bits elsewhere
assert {name for name, _ in FAST | REST} == set(NETS)
assert {method for _, method in FAST | REST} == set(METHODS)


@cache
def w4a4() -> tuple[Any, np.ndarray, Prepared, bytes]:
    """A model trained with activations of 4 bits, samples, and its file with one operator a layer."""
    student, x = trained(low_bit_depthwise(separable(), 4), "w4a4")
    known = tfmpq.prepare(student, x, progress=False, sensitivity="energy", lowering="fused")
    return student, x, known, known.finish().tflite_model


def factors(wrapper: Any, rows: int) -> np.ndarray:
    """What folding multiplies into the rows."""
    if wrapper.norm is None:
        return np.ones(rows)
    return np.asarray(wrapper.norm.gamma) / np.sqrt(np.asarray(wrapper.norm.moving_variance) + wrapper.norm.epsilon)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_the_points_of_the_file_are_the_trained_ones(name: str, method: str):
    model = NETS[name]()
    if name in LOW_BIT_DEPTHWISE:
        model = annotate(model, SimulationSettings(bits=5 if method == "inq5" else 4, points=1))
    check_points(*trained(model, method))


def test_low_bit_depthwise_layers_of_two_points():
    model = annotate(separable(), SimulationSettings(bits=2), match="depthwise")
    student, x = trained(model, "ttq")
    assert find_wrappers(student)["depthwise"].export().export().counts.max() == 2
    check_points(student, x)


def check_points(student: Any, x: np.ndarray) -> None:
    """Checks that conversion has the points that a model was trained with."""
    known = tfmpq.prepare(student, x, progress=False, sensitivity="energy")
    assert not known.notes
    layers = {weighed.layer.name: weighed for weighed in known.weighed}
    for path, wrapper in find_wrappers(student).items():
        sign = np.asarray(wrapper.sign())
        points = wrapper.export().export(sign)
        # The exact integers and scales are what the model computes with, bit for bit.
        np.testing.assert_array_equal(np.asarray(wrapper.simulated_weight()), wrapper.file_weight(), err_msg=path)
        chosen = layers[path].weight(points.counts)
        factor = np.abs(factors(wrapper, points.shape[0]))
        for number, (found, wanted) in enumerate(zip(chosen.points, points.points, strict=True)):
            np.testing.assert_array_equal(found.codes, wanted.codes, err_msg=path)
            used = points.counts > number
            # float32: TensorFlow's product, and ours of scale and factor.
            np.testing.assert_allclose(found.scale[used], (wanted.scale * factor)[used], rtol=1e-5, err_msg=path)
    known.finish()  # validation compares every point with the integers of the file


def test_integers_of_a_file_whose_layers_are_one_operator():
    student, _, known, content = w4a4()
    float_model = known.network.float_model
    layers, _ = find_layers(load(float_model.flatbuffer).graph, load(content).graph, names=float_model.names)
    for layer in layers:
        wrapper = find_wrappers(student)[layer.name]
        tensor = layer.uses[0].int8_op.input(layer.kind.site.weight)
        row = merge(wrapper.export().export(np.asarray(wrapper.sign())))
        assert row is not None
        np.testing.assert_array_equal(layer.kind.rows(tensor.array()), row.codes, err_msg=layer.name)
        if wrapper.input_quantizer is not None:
            codes = wrapper.input_quantizer.codes()
            assert codes.low == 0  # both read what a ReLU gives
            source = layer.uses[0].int8_input
            # The trained step itself (float32), and int8 ends where the trained codes do.
            assert source.scale == pytest.approx(codes.scale, rel=1e-6)
            assert 127 - source.zero_point == codes.high
    # What the residual sum reads too has its own scale still: one ADD of zero, for the layer behind it.
    assert [op.input(1).data for op in load(content).graph.ops if op.name == "ADD"].count(b"\0") == 1


def test_the_report_says_what_figures_against_float_are_worth():
    _, _, known, _ = w4a4()
    (note,) = [note for note in known.finish(validate=False).report.notes if "fewer than 8 bits" in note]
    assert note.startswith("2 layers were trained to read activations of fewer than 8 bits")
    student, x = trained(separable(), "lg_lsq")
    eight = tfmpq.prepare(student, x, progress=False, sensitivity="energy").finish(validate=False)
    assert not [note for note in eight.report.notes if "fewer than 8 bits" in note]


def test_float_activations_are_no_few_bit_ones():
    sizes = (64, 64, 32)
    model = keras.Sequential(
        [keras.Input((32,)), *(keras.layers.Dense(n, name=f"dense_{n}_{i}") for i, n in enumerate(sizes))]
    )
    x = data(model)
    student = lg_lsq(model, x, bits=4, activation_bits=4)
    in_int8, in_float = (
        tfmpq.convert(student, x, activations="int8", progress=False).report.notes,
        tfmpq.convert(student, x, activations="float", progress=False).report.notes,
    )
    assert [note for note in in_int8 if "fewer than 8 bits" in note]
    assert not [note for note in in_float if "fewer than 8 bits" in note]


def test_the_file_computes_what_was_trained():
    student, x, known, content = w4a4()
    written = run_real(content, [{known.network.float_model.inputs[0].name: sample[None]} for sample in x])[0][:, 0]
    computed = np.asarray(student(x))
    # The integers are the same but for ties; outputs, which the simulation does not round, have half a step, a 400th of
    # what they reach. The mean is over 128 outputs.
    error = np.sqrt(np.mean((written - computed) ** 2) / np.mean(computed**2))
    assert error < 0.01
    # Without the trained ranges it would be that of another network.
    plain = known.network.stock
    stock = run_real(plain.content, [{known.network.float_model.inputs[0].name: s[None]} for s in x])[0][:, 0]
    assert error < 0.5 * np.sqrt(np.mean((stock - computed) ** 2) / np.mean(computed**2))


@pytest.mark.slow
# By day one with random numbers.
@pytest.mark.parametrize(
    "method",
    [m if m == "stochastic" else pytest.param(m, marks=pytest.mark.nightly) for m in METHODS],
)
def test_resumed_training_ends_in_the_same_bits(method: str, tmp_path: Path):
    x = data(separable())
    target = np.asarray(separable()(x))
    through = METHODS[method](separable(), x)
    through.compile(optimizer(method), "mse", jit_compile=False)
    fitted(through, x, target, epochs=4, keep=tmp_path / "half.keras")
    again = loaded(tmp_path / "half.keras")
    fitted(again, x, target, first=2, epochs=4)
    for one, other in zip(through.variables, again.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(through(x)))


@pytest.mark.slow
def test_a_file_of_a_trained_model_converts_to_the_same_bytes(tmp_path: Path):
    student, x = trained(separable(), "ttq")
    content = tfmpq.convert(student, x, progress=False, sensitivity="energy").tflite_model
    reloaded(student, tmp_path / "student.keras")
    assert tfmpq.convert(tmp_path / "student.keras", x, progress=False, sensitivity="energy").tflite_model == content


@pytest.mark.parametrize("bits", [2, 8])
def test_a_sign_that_training_turns_is_said_where_a_code_has_no_opposite(bits: int):
    x = data(separable())
    student = lg_lsq(separable(), x, bits=bits, start="magnitudes")
    wrapper = find_wrappers(student)["project"]
    kernel = wrapper.layer.kernel
    kernel.assign(np.asarray(kernel) * 4)  # rows have their smallest code
    wrapper.norm.gamma.assign(-np.asarray(wrapper.norm.gamma))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        wrapper.export()
    texts = [str(w.message) for w in said]
    if bits == 8:
        assert texts == []
        return
    (text,) = texts
    assert text.startswith("layer 'project': training has changed the sign of its batch normalization in 8 row(s)")
    assert "freeze_norms" in text


def test_weights_that_are_no_numbers_are_not_converted():
    x = data(separable())
    student = lg_lsq(separable(), x, bits=4, start="magnitudes")
    kernel = find_wrappers(student)["project"].layer.kernel
    kernel.assign(np.asarray(kernel) * np.nan)
    with pytest.raises(ModelError, match=r"layer 'project' has weights or learned scales that are not finite"):
        tfmpq.convert(student, x, progress=False)


def test_weights_that_are_still_float_are_not_converted():
    x = data(separable())
    student = inq(separable(), x, bits=4)
    with pytest.raises(ModelError, match=r"layer 'project': only 0% of its weights are frozen.*callbacks"):
        tfmpq.convert(student, x, progress=False)
