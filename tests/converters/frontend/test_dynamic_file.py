"""Int8 weights beside float activations, in one graph and in several."""

from __future__ import annotations

import numpy as np

from converters.frontend.dynamic_file import dynamic_file, float_elsewhere
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.whole_files import (
    HIDDEN,
    WIDTH,
    activation,
    block,
    constant,
    decibels,
    entry,
    matrices,
    product,
    two_entries,
)


def kernels(model: Model, number: int) -> list[Tensor]:
    dense = BuiltinOperator.FULLY_CONNECTED
    return [op.input(1) for op in model.graphs[number].ops if op.code == dense]


def with_other_reader() -> Model:
    """``main``, and a graph that adds the first of its weights to what it is given."""
    graph, x = block("main", 8, matrices()), activation("other/x", (HIDDEN, WIDTH))
    table, y = constant("up/kernel", matrices()[0]), activation("y", (HIDDEN, WIDTH))
    summed = make_op(BuiltinOperator.ADD, [x, table], [y], 1, "AddOptions", fusedActivationFunction=0)
    other = Graph([x], [y], [summed], "other")
    return load(save(Model([graph, other], [entry("main", graph), entry("other", other)], {})))


def test_rows_have_the_scale_of_their_largest_weight():
    model = load(two_entries())
    twin = dynamic_file(model)
    for real, made in zip(kernels(model, 0), kernels(twin.model, 0), strict=True):
        assert made.type == TensorType.INT8
        assert made.quantization is not None
        scale, values = made.quantization.scale, real.array()
        assert np.allclose(scale, np.abs(values).max(axis=1) / 127, rtol=1e-6)  # one float32 rounding
        assert (np.abs(made.array() * scale[:, None] - values) <= scale[:, None] / 2 * 1.0001).all()


def test_kernels_run_it_close_to_float():
    x = np.random.default_rng(1).normal(size=(1, 8, WIDTH)).astype(np.float32)
    twin = dynamic_file(load(two_entries()))
    right, made = (run(make_interpreter(c), {"x": x})[0] for c in (two_entries(), twin.content))
    assert decibels(right, made) > 35  # 8 bits of weights and of inputs: 40 and more a layer


def test_rows_that_died_in_training_have_scales_that_kernels_take():
    up, *others = matrices()
    up[3], up[4] = up[3] * 1e-42, 0  # denormal, and nothing at all
    graph = block("main", 8, [up, *others])
    content = dynamic_file(load(save(Model([graph], [entry("main", graph)], {})))).content
    scales = kernels(load(content), 0)[0].quantization
    assert scales is not None
    assert scales.scale.min() == np.finfo(np.float32).tiny
    assert scales.scale[4] == 1
    make_interpreter(content, kernels="xnnpack")


def test_small_weights_and_biases_stay():
    x = activation("x", (1, 1, 8))
    small = product(x, "small", np.ones((8, 8), np.float32))
    graph = Graph([x], small.outputs[:], [small], "main")
    twin = dynamic_file(load(save(Model([graph], [entry("main", graph)], {}))))
    assert {t.type for t in twin.graph.ops[0].inputs if t} == {TensorType.FLOAT32}


def test_shared_weights_change_in_graphs_that_were_not_chosen_too():
    twin = dynamic_file(load(two_entries()), [0])
    first, second = kernels(twin.model, 0), kernels(twin.model, 1)
    assert all(a.data is b.data for a, b in zip(first, second, strict=True))
    assert {t.type for t in second} == {TensorType.INT8}


def test_graphs_that_were_not_chosen_keep_their_own_weights():
    graphs = [block("main", 8, matrices()), block("other", 8, matrices(seed=3))]
    model = load(save(Model(graphs, [entry(g.name, g) for g in graphs], {})))
    twin = dynamic_file(model, [0])
    assert {t.type for t in kernels(twin.model, 0)} == {TensorType.INT8}
    assert {t.type for t in kernels(twin.model, 1)} == {TensorType.FLOAT32}


def test_weights_that_others_take_in_float_only_stay():
    model = with_other_reader()
    (reason,) = float_elsewhere(model, [0]).values()
    assert reason == "ADD of signature 'other' reads it too, and takes it in float only"
    twin = dynamic_file(model, [0])
    assert [t.type for t in kernels(twin.model, 0)] == [TensorType.FLOAT32, TensorType.INT8, TensorType.INT8]
    assert float_elsewhere(model, [0, 1]) == {}
