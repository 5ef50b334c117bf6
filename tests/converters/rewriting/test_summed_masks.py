from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.rewriting.summed_masks import with_summed_masks
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model
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


def test_the_model_itself_stays_as_it_is() -> None:
    model = _model(_attention(2))
    before = save(model)
    with_summed_masks(model)
    assert save(model) == before
