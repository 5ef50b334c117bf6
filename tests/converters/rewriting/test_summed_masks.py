from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.rewriting.summed_masks import with_summed_masks
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.reader import load
from converters.tflite.writer import save

LENGTH, WIDTH, HEADS = 6, 8, 2


def _model(build: Any) -> Model:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    x, mask = keras.Input((LENGTH, WIDTH), batch_size=1, name="x"), keras.Input((LENGTH,), batch_size=1, name="mask")
    model = keras.Model([x, mask], build(x, mask))
    return load(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def _attention(layers: int, **options: Any) -> Any:
    from keras import layers as k
    from keras import ops

    def build(x: Any, mask: Any) -> Any:
        allowed = ops.cast(ops.expand_dims(mask, 1), "bool")
        for _ in range(layers):
            attention = k.MultiHeadAttention(HEADS, WIDTH // HEADS)
            x = attention(x, x, attention_mask=allowed if "use_causal_mask" not in options else None, **options)
        return x

    return build


def _select(number: float, *, inverted: bool = False, softmax: bool = True) -> Any:
    from keras import ops

    def build(x: Any, mask: Any) -> Any:
        allowed = ops.cast(ops.expand_dims(mask, -1), "bool")
        values = ops.where(allowed, number, x) if inverted else ops.where(allowed, x, number)
        return ops.softmax(values, axis=-1) if softmax else values

    return build


def _square(code: int, condition: tuple[int, ...], fill: np.ndarray, *, kept: bool = True) -> Model:
    """A mask of as many scores a row as there are rows, so that rows and columns fit a condition alike."""
    options = {BuiltinOperator.SELECT: "SelectOptions", BuiltinOperator.SELECT_V2: "SelectV2Options"}
    x, y = (Tensor(name, (LENGTH, LENGTH), TensorType.FLOAT32) for name in ("x", "y"))
    mask = Tensor("mask", condition, TensorType.BOOL)
    number = Tensor("number", fill.shape, TensorType.FLOAT32, fill.astype(np.float32).tobytes())
    masked = Tensor("masked", x.shape, TensorType.FLOAT32)
    sides = [x, number] if kept else [number, x]
    ops = [
        make_op(code, [mask, *sides], [masked], 1, options[code]),
        make_op(BuiltinOperator.SOFTMAX, [masked], [y], 1, "SoftmaxOptions", beta=1.0),
    ]
    return Model([Graph([x, mask], [y], ops)], [], {})


def _shares(model: Model, mask: np.ndarray) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(LENGTH, LENGTH)).astype(np.float32)
    return run(make_interpreter(save(model), kernels="builtin"), {"x": x, "mask": mask})[0]


def _outputs(model: Model, mask: np.ndarray) -> np.ndarray:
    # Plain kernels: a delegate may take other ones for another graph, whose last bits differ.
    interpreter = make_interpreter(save(model), kernels="builtin")
    x = np.random.default_rng(0).normal(size=(1, LENGTH, WIDTH)).astype(np.float32)
    return run(interpreter, {"x": x, "mask": mask[None].astype(np.float32)})[0]


@pytest.mark.parametrize("layers", [1, 3])
def test_attention_is_the_same_bit_by_bit_with_one_select(layers: int) -> None:
    model = _model(_attention(layers))
    summed = with_summed_masks(model)
    names = [op.name for op in summed.graph.ops]
    assert [op.name for op in model.graph.ops].count("SELECT_V2") == layers
    assert names.count("SELECT_V2") == 1
    (select,) = (op for op in summed.graph.ops if op.name == "SELECT_V2")
    assert np.prod(select.outputs[0].shape) == LENGTH  # one row for all heads and queries
    assert "LOGICAL_AND" not in names
    for mask in ([1, 1, 1, 0, 0, 0], [1] * 6, [0] * 6):  # all masked: the same share for all in both
        np.testing.assert_array_equal(_outputs(summed, np.array(mask)), _outputs(model, np.array(mask)))


def test_causal_masks_are_constants_and_serve_all_blocks() -> None:
    model = _model(_attention(2, use_causal_mask=True))
    summed = with_summed_masks(model)
    assert [op.name for op in summed.graph.ops].count("SELECT_V2") == 1
    np.testing.assert_array_equal(_outputs(summed, np.ones(6)), _outputs(model, np.ones(6)))


@pytest.mark.parametrize("inverted", [False, True])
def test_either_side_of_a_select_may_be_the_mask(inverted: bool) -> None:
    model = _model(_select(-3e38, inverted=inverted))
    summed = with_summed_masks(model)
    assert "ADD" in [op.name for op in summed.graph.ops]
    mask = np.array([1, 0, 1, 0, 1, 1])
    np.testing.assert_array_equal(_outputs(summed, mask), _outputs(model, mask))


@pytest.mark.parametrize(
    "build",
    [
        _select(-1e9),  # scores would be rounded to steps of 64 beside it
        _select(3e38),
        _select(-3e38, softmax=False),  # somebody sees the number
    ],
    ids=["small", "positive", "seen"],
)
def test_others_stay(build: Any) -> None:
    model = _model(build)
    assert with_summed_masks(model) is model


def test_a_condition_that_picks_rows_stays_one() -> None:
    model = _square(BuiltinOperator.SELECT, (LENGTH,), np.full((LENGTH, LENGTH), -3e38))
    mask = np.array([1, 0, 1, 0, 1, 1], bool)
    shares = _shares(model, mask)
    assert np.ptp(shares[~mask]) == 0  # rows that are masked as a whole: the same share for all
    assert np.ptp(shares[mask], axis=1).min() > 0
    assert with_summed_masks(model) is model


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("code", "shape"),
    [
        (BuiltinOperator.SELECT, (LENGTH, LENGTH)),  # which broadcasts no values
        (BuiltinOperator.SELECT_V2, (LENGTH, LENGTH)),
        (BuiltinOperator.SELECT_V2, (1,)),
    ],
    ids=["first", "second", "second_of_one"],
)
def test_one_value_is_a_mask_in_any_shape(code: int, shape: tuple[int, ...], kept: bool) -> None:
    model = _square(code, (LENGTH, LENGTH), np.full(shape, -3e38), kept=kept)
    summed = with_summed_masks(model)
    assert [op.name for op in summed.graph.ops] == ["SELECT_V2", "ADD", "SOFTMAX"]
    assert all(t.shape == () for t in summed.graph.ops[0].inputs[1:] if t is not None)
    mask = np.random.default_rng(2).random((LENGTH, LENGTH)) < 0.7
    np.testing.assert_array_equal(_shares(summed, mask), _shares(model, mask))


@pytest.mark.parametrize("other", [0.0, -1e35, np.nan])
def test_arrays_of_several_values_stay(other: float) -> None:
    fill = np.full((LENGTH, LENGTH), -3e38)
    fill[2, 3] = other
    model = _square(BuiltinOperator.SELECT_V2, (LENGTH, LENGTH), fill)
    assert with_summed_masks(model) is model


def test_a_condition_of_one_row_serves_all() -> None:
    model = _square(BuiltinOperator.SELECT_V2, (LENGTH,), np.array(-3e38))
    summed = with_summed_masks(model)
    assert summed.graph.ops[0].outputs[0].shape == (LENGTH,)
    mask = np.array([1, 0, 1, 0, 1, 1], bool)
    np.testing.assert_array_equal(_shares(summed, mask), _shares(model, mask))


def test_the_model_itself_stays_as_it_is() -> None:
    model = _model(_attention(2))
    before = save(model)
    with_summed_masks(model)
    assert save(model) == before
