"""Sizes of what a model leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError, OptionError
from converters.frontend.float_model import InputSpec
from converters.frontend.load import load_model
from converters.frontend.open_sizes import check_sizes, fixed_shapes

FLOAT = np.dtype(np.float32)
IMAGE = InputSpec("image", ("pixels",), (None, None, None, 3), FLOAT)
IDS = InputSpec("ids", (), (None, None), np.dtype(np.int32))
MASK = InputSpec("mask", (), (1, None), FLOAT)
FIXED = InputSpec("fixed", (), (1, 7), FLOAT)


@pytest.mark.parametrize(
    ("inputs", "sizes", "shapes"),
    [
        ([FIXED], None, [(1, 7)]),
        ([FIXED], (7,), [(1, 7)]),
        ([IMAGE], (24, 20, 3), [(None, 24, 20, 3)]),
        ([IMAGE], (1, 24, 20, 3), [(None, 24, 20, 3)]),
        ([IMAGE], {"pixels": [24, 20, 3]}, [(None, 24, 20, 3)]),
        ([IDS, MASK, FIXED], (12,), [(None, 12), (1, 12), (1, 7)]),
        ([IDS, MASK], {"ids": (12,), "mask": (1, 9)}, [(None, 12), (1, 9)]),
        ([IMAGE], lambda inputs: {inputs[0].name: (5, 8, 6, 3)}, [(None, 8, 6, 3)]),
    ],
)
def test_shapes(inputs: list[InputSpec], sizes: Any, shapes: list[tuple[int | None, ...]]):
    assert fixed_shapes(inputs, sizes, "model") == shapes


def test_a_function_is_only_asked_if_something_is_open():
    def never(inputs: Any) -> Any:
        raise AssertionError

    assert fixed_shapes([FIXED], never, "model") == [(1, 7)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (IMAGE, r"'image' has shape \(None, None, None, 3\).*sizes=\{'image': \(224, 224, 3\)\} with height and width"),
        (IDS, r"'ids' has shape \(None, None\).*sizes=\{'ids': \(128,\)\} with the length of your sequences"),
    ],
)
def test_advice_fits_the_kind_of_model(spec: InputSpec, message: str):
    with pytest.raises(ModelError, match=message):
        fixed_shapes([spec], None, "model")


@pytest.mark.parametrize(
    ("inputs", "sizes", "message"),
    [
        ([IMAGE], (24, 20, 4), r"sizes=\(24, 20, 4\): no input of model takes that.*'image' \(None, None, None, 3\)"),
        ([IDS, MASK], {"ids": (3, 4, 5)}, r"\(3, 4, 5\) does not fit input 'ids' of model.*sizes=\{'ids': \(128,\)\}"),
        ([IDS], {"tokens": (3,)}, r"model has no input 'tokens'. Its inputs: \['ids'\]"),
    ],
)
def test_sizes_that_contradict_the_model(inputs: list[InputSpec], sizes: Any, message: str):
    with pytest.raises(OptionError, match=message):
        fixed_shapes(inputs, sizes, "model")


@pytest.mark.parametrize("sizes", [(0,), (), {}, {"a": 3}, (2.0,), "12", 12, (True,)])
def test_what_is_no_shape(sizes: object):
    with pytest.raises(OptionError, match=r"sizes=.*give the shape of one sample"):
        check_sizes(sizes)


def test_inputs_of_strings_are_refused_for_what_they_are():
    keras = pytest.importorskip("keras")
    tf = pytest.importorskip("tensorflow")
    x = keras.Input((1,), dtype="string", name="text")
    model = keras.Model(
        x, keras.layers.Lambda(lambda t: tf.cast(tf.strings.length(t), tf.float32), output_shape=(1,))(x)
    )
    with pytest.raises(ModelError, match="no operator for StringLength"):
        load_model(model)
