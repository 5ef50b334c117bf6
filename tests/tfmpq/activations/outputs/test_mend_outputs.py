"""Outputs whose channels differ in size, from the model to the file."""

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import tfmpq
from converters.errors import DataWarning, OptionError
from converters.tflite.graph import TYPE_NAMES, Model
from converters.tflite.reader import load
from tests.support.output_nets import (
    BOXES,
    SCORES,
    SHAPE,
    decibels,
    decoded,
    embedding,
    heads,
    images,
    joined,
    small_detector,
    values,
)

DATA = images(80)
FIT, NEW = DATA[:64], DATA[64:]


def convert(model: Any, **options: Any) -> tuple[tfmpq.ConversionResult, list[str]]:
    """The result and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = tfmpq.convert(model, FIT, progress=False, **options)
    return result, [
        str(w.message) for w in caught if issubclass(w.category, DataWarning) and "Output" in str(w.message)
    ]


def types(content: bytes) -> list[str]:
    return [TYPE_NAMES[t.type] for t in load(content).graph.outputs]


def operators(model: Model) -> list[str]:
    return [op.name for op in model.graph.ops]


def of(result: tfmpq.ConversionResult) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Outputs on new samples: float, stock, tfmpq."""
    first, second, third = (
        values(c, NEW, load(c).signatures[0].inputs[0][0])
        for c in (result.float_model, result.stock_model, result.tflite_model)
    )
    return first, second, third


@pytest.mark.parametrize("io_dtype", ["int8", "float32"])
def test_boxes_and_scores_joined(io_dtype: Any):
    model = joined()
    result, said = convert(model, io_dtype=io_dtype)
    (real,), (stock,), (ours,) = of(result)
    assert decibels(real[..., 4:], stock[..., 4:]) < 1
    assert decibels(real[..., 4:], ours[..., 4:]) > 25
    assert decibels(real[..., :4], ours[..., :4]) > decibels(real[..., :4], stock[..., :4]) - 1
    assert types(result.tflite_model) == ["FLOAT32"]
    # A step less: what is joined in int8 is rounded to one scale before.
    assert len(result.tflite_model) < len(result.stock_model) + 200
    if io_dtype == "float32":
        assert said == []
        return
    (text,) = said
    assert "Output 'output_0' is float32, not int8" in text
    assert "20 of 24 (4..23) hold" in text
    assert "20 of them never change" in text
    assert "CONCATENATION in float" in text
    assert text in str(result.report).replace("\n" + " " * 22, " ")
    validation = result.report.validation
    assert validation is not None
    assert validation.kernels == ("xnnpack", "builtin", "reference")
    assert "1 CONCATENATION" in validation.notes[0]
    again, _ = convert(model, io_dtype=io_dtype)
    assert again.tflite_model == result.tflite_model


@pytest.mark.parametrize("options", [{}, {"anchors": 2, "levels": 2}])
def test_boxes_and_scores_of_one_convolution(options: Any):
    result, said = convert(heads(**options))
    (real,), (stock,), (ours,) = of(result)
    assert decibels(real[..., SCORES], stock[..., SCORES]) < 3
    assert decibels(real[..., SCORES], ours[..., SCORES]) > 25
    assert decibels(real[..., BOXES], ours[..., BOXES]) > 40
    assert operators(load(result.tflite_model))[-2:] == ["DEQUANTIZE", "MUL"]
    assert "rows of 'head" in said[0]
    assert [layer.name for layer in result.report.layers if "head" in layer.name] != []


def test_a_small_detector():
    data = np.random.default_rng(0).uniform(0, 1, (80, 64, 64, 3)).astype(np.float32)
    with pytest.warns(DataWarning, match="is float32, not int8"):
        result = tfmpq.convert(small_detector(), data[:64], progress=False)
    (real,), (stock,), (ours,) = (
        values(c, data[64:], "image") for c in (result.float_model, result.stock_model, result.tflite_model)
    )
    assert len(np.unique(stock[..., 4:])) == 1
    assert decibels(real[..., 4:], ours[..., 4:]) > 25


@pytest.mark.parametrize("bounded", [False, True])
def test_boxes_decoded_in_the_last_steps(bounded: bool):
    result, said = convert(decoded(bounded=bounded))
    (real,), (stock,), (ours,) = of(result)
    assert decibels(real[..., SCORES], stock[..., SCORES]) < 3
    assert decibels(real[..., SCORES], ours[..., SCORES]) > 25
    assert decibels(real[..., BOXES], ours[..., BOXES]) > 25
    # Without a sigmoid, TensorFlow folds the factors into the convolution.
    assert ("MUL, ADD, RESHAPE in float" if bounded else "rows of") in said[0]


def test_an_embedding_with_few_huge_numbers():
    result, said = convert(embedding())
    (real,), (stock,), (ours,) = of(result)
    small = np.setdiff1d(np.arange(32), [3, 17])
    assert decibels(real[:, small], stock[:, small]) < 10
    assert decibels(real[:, small], ours[:, small]) > 25
    assert decibels(real, ours) > decibels(real, stock) - 1
    assert "rows of 'embedding' are scaled" in said[0]


def test_only_the_output_that_needs_it():
    result, said = convert(joined(extra=True))
    names = {n: TYPE_NAMES[t.type] for n, t in load(result.tflite_model).signatures[0].outputs}
    assert names == {"boxes": "FLOAT32", "plain": "INT8"}
    assert [n for n, _ in load(result.tflite_model).signatures[0].outputs] == [
        n for n, _ in load(result.stock_model).signatures[0].outputs
    ]
    assert len(said) == 1
    for real, ours in zip(of(result)[0], of(result)[2], strict=True):
        assert decibels(real[..., 4:], ours[..., 4:]) > 25


def ordinary() -> list[Any]:
    keras.utils.set_random_seed(0)
    x = layers.Input(SHAPE, name="image")
    features = layers.Conv2D(64, 3, 2, activation="relu")(x)
    pooled = layers.GlobalAveragePooling2D()(features)
    quiet: Any = keras.initializers.Constant(np.r_[np.zeros(4), np.full(60, -9.0)])  # classes that nothing shows
    return [
        keras.Model(x, layers.Dense(40, activation="softmax")(pooled)),
        keras.Model(x, layers.Dense(64, activation="sigmoid", bias_initializer=quiet)(pooled)),
        keras.Model(x, layers.Dense(10)(pooled)),
        keras.Model(x, features * 30.0),
        keras.Model(x, pooled),
        keras.Model(x, joined(scale=1.0)(x)),
    ]


@pytest.mark.parametrize("model", ordinary())
def test_ordinary_outputs_stay_as_they_are(model: Any):
    result, said = convert(model)
    assert (types(result.tflite_model), said) == (["INT8"], [])


def test_int8_on_demand():
    result, said = convert(joined(), outputs={"output_0": "int8"})
    assert types(result.tflite_model) == ["INT8"]
    assert said == []
    with pytest.warns(DataWarning, match=r"20 of 24 channels of output 'output_0' .* outputs={'output_0': 'float'}"):
        tfmpq.convert(joined(), FIT, progress=False, outputs={"output_0": "int8"})


@pytest.mark.parametrize(("index", "last"), [(0, ["DEQUANTIZE", "SOFTMAX"]), (2, ["FULLY_CONNECTED", "DEQUANTIZE"])])
def test_float_on_demand(index: int, last: list[str]):
    result, said = convert(ordinary()[index], outputs={"output_0": "float"})
    assert types(result.tflite_model) == ["FLOAT32"]
    assert operators(load(result.tflite_model))[-2:] == last
    assert said == []
    (real,), _, (ours,) = of(result)
    assert decibels(real, ours) > 25


def test_unknown_outputs():
    with pytest.raises(OptionError, match=r"outputs names 'boxes', .* its outputs are 'output_0'"):
        convert(joined(), outputs={"boxes": "float"})
    with pytest.raises(OptionError, match="'int8', 'float', 'split'"):
        convert(joined(), outputs={"output_0": "half"})


# By day int8; test_api.py sees the other types of inputs and outputs.
@pytest.mark.parametrize(
    "io_dtype", ["int8", *(pytest.param(x, marks=pytest.mark.nightly) for x in ("uint8", "float32"))]
)
def test_split_into_joined_parts(io_dtype: Any):
    result, said = convert(joined(), outputs={"output_0": "split"}, io_dtype=io_dtype)
    assert said == []
    found = load(result.tflite_model).signatures[0].outputs
    assert [(n, t.shape, TYPE_NAMES[t.type]) for n, t in found] == [
        ("output_0/part0", (1, 64, 4), io_dtype.upper()),
        ("output_0/part1", (1, 64, 20), io_dtype.upper()),
    ]
    real, _, ours = of(result)
    assert all(decibels(a, b) > 25 for a, b in zip(real, ours, strict=True))
    assert any("'output_0/part1' holds 4..23" in note for note in result.report.notes)


def test_split_into_kinds_of_channels():
    result, said = convert(heads(anchors=2, levels=2), outputs={"output_0": "split"})
    assert said == []
    assert [t.shape[-1] for _, t in load(result.tflite_model).signatures[0].outputs] == [4, 2]
    real, _, ours = of(result)
    assert all(decibels(a, b) > 25 for a, b in zip(real, ours, strict=True))


def test_what_cannot_be_split():
    with pytest.raises(OptionError, match="not joined of parts, and all its channels are of like size"):
        convert(ordinary()[2], outputs={"output_0": "split"})
