from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.frontend.dynamic_file import dynamic_file
from converters.frontend.stock_dynamic import stock_dynamic_file
from converters.native_logs import quiet
from converters.rewriting.hybrid_products import quantize_product
from converters.runtime.interpreter import Kernels, make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType, schema
from converters.tflite.reader import load

SHAPE = (1, 6, 4, 32)


def _convert(equation: str, output: tuple[int | None, ...], shape: tuple[int, ...], optimizations: list[Any]) -> bytes:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(2)
    x = keras.Input(shape[1:], batch_size=shape[0], name="x")
    model = keras.Model(x, keras.layers.EinsumDense(equation, output)(x))
    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = optimizations
        return converter.convert()


def _product(content: bytes) -> Op:
    return next(op for op in load(content).graph.ops if op.name == "BATCH_MATMUL")


@pytest.fixture(scope="module")
def per_head() -> bytes:
    return _convert("bsnd,ndh->bsnh", (None, 4, 24), SHAPE, [])


def test_stock_is_tensorflows(per_head: bytes) -> None:
    import tensorflow as tf

    theirs = _product(_convert("bsnd,ndh->bsnh", (None, 4, 24), SHAPE, [tf.lite.Optimize.DEFAULT])).input(1)
    ours = _product(stock_dynamic_file(load(per_head)).content).input(1)
    assert ours.quantization is not None
    assert theirs.quantization is not None
    np.testing.assert_array_equal(ours.quantization.scale, theirs.quantization.scale)
    # A quotient next to a tie may be rounded to either side: at most a few of 3,072 codes, by one.
    off = np.abs(ours.array().astype(int) - theirs.array())
    assert off.max() <= 1
    assert off.mean() < 2e-3


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
def test_channels_have_scales_and_every_kernel_set_runs_them(per_head: bytes, kernels: Kernels) -> None:
    file = dynamic_file(load(per_head))
    constant = _product(file.content).input(1)
    assert constant.type == TensorType.INT8
    assert constant.quantization is not None
    assert constant.quantization.scale.shape == (24,)
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    (expected,), (found,) = (run(make_interpreter(c, kernels=kernels), {"x": x}) for c in (per_head, file.content))
    error = 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())
    assert error > 33  # rows and weights of 8 bits leave about 40 dB; wrong scales a few


@pytest.mark.parametrize(("left", "rounded"), [((2, 3, 6, 32), False), ((1, 3, 6, 32), True), ((6, 32), True)])
def test_two_batch_axes_stay_in_float(left: tuple[int, ...], rounded: bool) -> None:
    """The plain kernels would compute something else."""
    x = Tensor("x", left, TensorType.FLOAT32)
    values = np.random.default_rng(1).normal(size=(32, 40)).astype(np.float32)
    constant = Tensor("w", values.shape, TensorType.FLOAT32, values.tobytes())
    options = schema.BatchMatMulOptionsT()
    result = Tensor("y", (*left[:-1], 40), TensorType.FLOAT32)
    op = Op(BuiltinOperator.BATCH_MATMUL, [x, constant], [result], 1, schema.BuiltinOptions.BatchMatMulOptions, options)
    assert quantize_product(op, {}, by_channel=True) == rounded
    assert op.input(1).type == (TensorType.INT8 if rounded else TensorType.FLOAT32)
