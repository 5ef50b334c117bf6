"""A file cut between its layers, each fed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from converters.runtime.activations import make_reader
from converters.runtime.interpreter import inputs, make_interpreter, run
from converters.tflite.graph import Tensor
from converters.tflite.reader import load
from converters.tflite.teacher_forcing import teacher_forced
from tests.support.pipeline import residual


def setup(content: bytes, feed: dict[str, np.ndarray]) -> tuple[list[Tensor], list[np.ndarray], bytes]:
    """All activations that operators write, their values in the file, and the cut file."""
    model = load(content)
    tensors = [t for op in model.graph.ops for t in op.outputs]
    values = make_reader(content, model, model.graph.ops, kernels="builtin")(feed)
    return tensors, [values[t] for t in tensors], teacher_forced(model, tensors)


def feeds_for(cut: bytes, image: np.ndarray, given: list[np.ndarray]) -> dict[str, np.ndarray]:
    names = [d.name for d in inputs(make_interpreter(cut, kernels="builtin"))]
    return {n: image if n == "input_0" else given[int(n.removeprefix("cut_"))] for n in names}


@pytest.mark.parametrize("lowering", ["stock", "float"])
def test_given_its_own_values_the_file_computes_what_it_computes(lowering):
    base = residual()
    content = base.stock if lowering == "stock" else base.model.flatbuffer
    feed = base.samples[0]
    tensors, values, cut = setup(content, feed)
    found = run(make_interpreter(cut, kernels="builtin"), feeds_for(cut, feed["image"], values))
    for tensor, expected, result in zip(tensors, values, found, strict=True):
        np.testing.assert_array_equal(result, expected, err_msg=tensor.name)


def test_a_changed_value_reaches_its_readers_only():
    base = residual()
    feed = base.samples[0]
    tensors, values, cut = setup(base.stock, feed)
    model = load(base.stock)
    interpreter = make_interpreter(cut, kernels="builtin")
    target = next(i for i, op in enumerate(model.graph.ops) if op.name == "DEPTHWISE_CONV_2D")
    altered = [np.full_like(v, 100) if i == target else v for i, v in enumerate(values)]
    found = run(interpreter, feeds_for(cut, feed["image"], altered))
    different = {i for i, (a, b) in enumerate(zip(found, values, strict=True)) if not np.array_equal(a, b)}
    names = {t.name: i for i, t in enumerate(tensors)}
    readers = {
        names[t.name]
        for op in model.graph.ops
        if any(i is not None and i.name == tensors[target].name for i in op.inputs)
        for t in op.outputs
    }
    assert different == readers
    assert readers


def test_the_model_is_left_as_it_was():
    base = residual()
    model = load(base.stock)
    before = [[t and t.name for t in op.inputs] for op in model.graph.ops]
    teacher_forced(model, [op.outputs[0] for op in model.graph.ops])
    assert [[t and t.name for t in op.inputs] for op in model.graph.ops] == before
