from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend.float_model import FloatModel
from converters.frontend.float_tail import cut_tail
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.twins import twin_ops
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import TYPE_NAMES, Graph
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.output_nets import decibels, images, joined, values

DATA = images(24)


def samples() -> Iterator[dict[str, np.ndarray]]:
    return ({"image": sample[None]} for sample in DATA)


@pytest.fixture(scope="module")
def two_outputs() -> FloatModel:
    return load_model(joined(extra=True))


def boxes_of(graph: Graph) -> str:
    return next(t.name for t in graph.outputs if len(t.shape) == 3)


def interface(graph: Graph) -> list[tuple[str, tuple[int, ...], str]]:
    return [(t.name, t.shape, TYPE_NAMES[t.type]) for t in graph.outputs]


@pytest.mark.parametrize("io_dtype", ["int8", "uint8", "float32"])
def test_a_joined_output_in_float_beside_another(two_outputs: FloatModel, io_dtype: Any):
    whole = load(two_outputs.flatbuffer)
    boxes = boxes_of(whole.graph)
    content = int8_twin(two_outputs, samples, io_dtype=io_dtype, float_tail=frozenset({boxes}))
    made, stock = load(content), load(int8_twin(two_outputs, samples, io_dtype=io_dtype))
    assert interface(made.graph) == [
        (name, shape, "FLOAT32" if name == boxes else kind) for name, shape, kind in interface(stock.graph)
    ]
    assert [t.name for t in made.graph.inputs] == [t.name for t in stock.graph.inputs]
    assert [n for n, _ in made.signatures[0].outputs] == [n for n, _ in whole.signatures[0].outputs]
    for ours, real in zip(made.signatures[0].outputs, whole.signatures[0].outputs, strict=True):
        assert made.graph.outputs.index(ours[1]) == whole.graph.outputs.index(real[1])
    assert [op.name for op in made.graph.ops if op.outputs[0].name == boxes] == ["CONCATENATION"]
    assert all(twin is not None for _, twin in twin_ops(whole.graph, made.graph))
    # 255 levels leave about 40 dB of each part; joined in int8, steps of 300 / 255 leave nothing of scores.
    at = whole.graph.outputs.index(next(t for t in whole.graph.outputs if t.name == boxes))
    real, ours, theirs = (values(c, DATA, "image") for c in (two_outputs.flatbuffer, content, save(stock)))
    assert decibels(real[at][..., 4:], ours[at][..., 4:]) > 30
    assert decibels(real[at][..., 4:], theirs[at][..., 4:]) < 1
    assert decibels(real[at][..., :4], ours[at][..., :4]) > decibels(real[at][..., :4], theirs[at][..., :4]) - 1
    assert content == int8_twin(two_outputs, samples, io_dtype=io_dtype, float_tail=frozenset({boxes}))


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
def test_every_kernel_set_runs_it(two_outputs: FloatModel, kernels: Any):
    tail = frozenset({boxes_of(load(two_outputs.flatbuffer).graph)})
    interpreter = make_interpreter(int8_twin(two_outputs, samples, float_tail=tail), kernels=kernels)
    assert {value.dtype.name for value in run(interpreter, next(samples()))} == {"int8", "float32"}


@pytest.mark.parametrize("io_dtype", ["int8", "uint8", "float32"])
def test_an_output_that_the_body_makes_as_float32(two_outputs: FloatModel, io_dtype: Any):
    plain = next(t.name for t in load(two_outputs.flatbuffer).graph.outputs if len(t.shape) == 2)
    content = int8_twin(two_outputs, samples, io_dtype=io_dtype, float_outputs=frozenset({plain}))
    kinds = {len(t.shape): TYPE_NAMES[t.type] for t in load(content).graph.outputs}
    assert kinds == {2: "FLOAT32", 3: io_dtype.upper()}
    real, ours = (values(c, DATA, "image") for c in (two_outputs.flatbuffer, content))
    assert all(decibels(a[..., :4], b[..., :4]) > 30 for a, b in zip(real, ours, strict=True))


def test_only_last_operators_can_stay_in_float(two_outputs: FloatModel):
    model = load(two_outputs.flatbuffer)
    first = model.graph.ops[0].outputs[0].name
    with pytest.raises(ModelError, match=r"CONV_2D writing .* reads a value that is to stay in float"):
        cut_tail(model, {first})
