"""Validation of layers with float activations: constants that are unpacked for them, and how many numbers are wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from converters.errors import ValidationError
from converters.layers.kinds import kind_of
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.reference.dynamic_ops import Computed, run_dynamic_op
from converters.rewriting.small_constants import dequantize, int8_once
from converters.tflite.graph import Op, Tensor, TensorType
from tests.support.dynamic_models import dense_op, floats
from tests.support.op_models import file_of
from tests.support.pipeline import validate
from tfmpq.emit.validation import ValidationReport

ROWS = 2048


@pytest.fixture
def op() -> Op:
    """A wide layer."""
    return dense_op(np.random.default_rng(0), (1, 64), ROWS, bits=4)


def _unpacked(op: Op, slot: int, values: np.ndarray) -> Op:
    """Gives the operator int8 values behind a DEQUANTIZE, which is returned."""
    packed = int8_once(Tensor("packed", values.shape, TensorType.FLOAT32, values.astype(np.float32).tobytes()), {})
    op.inputs[slot] = floats("unpacked", values.shape)
    return dequantize(packed, op.input(slot))


def _validated(ops: list[Op], source: Tensor) -> ValidationReport:
    """Validates a file whose last operator is the layer's."""
    op = ops[-1]
    kind, tensor = kind_of(op), op.input(1)
    assert kind is not None
    assert tensor.quantization is not None
    weight = EmittedWeight("dense", tensor.name, kind.rows(tensor.array()), tensor.quantization.scale)
    content = file_of(ops, [source], op.outputs)
    feeds = [{"x": np.random.default_rng(seed).normal(size=(1, 64)).astype(np.float32)} for seed in range(2)]
    return validate(content, content, [LoweredLayer("dense", "test", (weight,), ("y",))], feeds)


def test_a_bias_that_an_operator_makes_is_refused(op):
    # As where large constants become int8: the layer would compute with a rounded bias.
    before = _unpacked(op, 2, op.input(2).array())
    message = r"'dense': FULLY_CONNECTED .* reads the bias 'unpacked', which another operator makes"
    with pytest.raises(ValidationError, match=message):
        _validated([before, op], op.input(0))


def test_an_activation_that_is_an_unpacked_constant_is_checked(op):
    source = op.input(0)
    before = _unpacked(op, 0, np.random.default_rng(1).normal(size=(1, 64)))
    report = _validated([before, op], source)
    assert report.kernels == ("xnnpack", "builtin", "reference")
    assert report.deviation is not None
    assert report.deviation <= 1


def test_it_says_how_many_numbers_are_wrong(op, monkeypatch):
    # The kernels are right, so let the reference be wrong: a half up, but for one row.
    def shifted(*args: Any, **options: Any) -> list[list[Computed]]:
        by = np.full(ROWS, 0.5)
        by[7] = 0
        return [[dataclasses.replace(c, values=c.values + by) for c in way] for way in run_dynamic_op(*args, **options)]

    monkeypatch.setattr("converters.reference.dynamic_comparison.run_dynamic_op", shifted)
    with pytest.raises(ValidationError, match=rf"; {ROWS - 1} of {ROWS} outputs are further off than they may be\. "):
        _validated([op], op.input(0))
