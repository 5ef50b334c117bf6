from __future__ import annotations

import numpy as np
import pytest

from converters.errors import FileFormatError
from converters.reference.integer_ops import run_op
from converters.runtime.activations import make_reader
from converters.tflite.reader import load
from tests.support.op_models import KERNELS, activation, add_op, bias, file_of, layer_op, weight


@pytest.fixture
def content() -> bytes:
    """Y = W x + b, z = y + x: the input is read twice, y inside the graph and z outside."""
    x, y, z = (activation(name, (2, 4), 0.1, 3) for name in "xyz")
    weights = weight("w", "dense", np.diag([10, -20, 30, -40]), np.full(4, 0.1))
    dense = layer_op("dense", x, weights, bias("b", np.arange(4), x, weights), y)
    return file_of([dense, add_op(x, y, z)], [x], [z])


@pytest.mark.parametrize("kernels", KERNELS)
def test_every_kernel_shows_what_operators_read_and_write(content, kernels):
    model = load(content)
    dense, add = model.graph.ops
    x, y, z = dense.input(0), dense.outputs[0], add.outputs[0]
    read = make_reader(content, model, [dense, add], kernels=kernels)
    for seed in range(2):
        feed = np.random.default_rng(seed).integers(-128, 127, (2, 4), np.int8, endpoint=True)
        values = read({"x": feed})
        assert set(values) == {x, y, z}
        np.testing.assert_array_equal(values[x], feed)
        # These sums lie on no tie, so all kernels must give the reference's integers.
        np.testing.assert_array_equal(values[y], run_op(dense, [feed, None, None])[0])
        np.testing.assert_array_equal(values[z], run_op(add, [feed, values[y]])[0])


@pytest.mark.parametrize("kernels", KERNELS)
def test_only_what_is_asked_for_is_read(content, kernels):
    model = load(content)
    dense, _ = model.graph.ops
    values = make_reader(content, model, [dense], kernels=kernels)({"x": np.zeros((2, 4), np.float32)})
    assert set(values) == {dense.input(0), dense.outputs[0]}
    assert (values[dense.input(0)] == 3).all()  # a real zero is the zero point
    assert make_reader(content, model, [], kernels=kernels)({"x": np.zeros((2, 4), np.float32)}) == {}


def test_a_refused_file_is_an_error(content):
    model = load(content)
    model.graph.ops[0].version = 99
    broken = file_of(model.graph.ops, model.graph.inputs, model.graph.outputs)
    with pytest.raises(FileFormatError, match="version '99'"):
        make_reader(broken, load(broken), model.graph.ops, kernels="builtin")
