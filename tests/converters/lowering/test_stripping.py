"""Tensors are called by numbers, and get their names back; what users and expand know by its name keeps it."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import FileFormatError
from converters.layers.kinds import kind_of
from converters.lowering.bias_scales import share_bias_scales
from converters.lowering.stripping import put_back, strip_names, with_names
from converters.tflite.graph import Model
from converters.tflite.model_file import read_model
from converters.tflite.names import Names
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save
from tests.support.op_models import KERNELS, activation, bias, file_of, layer_op, run_kernels, weight
from tests.support.whole_files import run_entry, two_entries

RECORD = {"version": "1", "recipe": [{"match": "a"}], "layers": {"stem": [4, "radix", "fused", 8]}}
RNG = np.random.default_rng(3)


def recorded(content: bytes) -> bytes:
    model = load(content)
    model.metadata[METADATA_NAME] = pack_record(RECORD)
    return save(model)


def all_names(model: Model) -> list[list[str]]:
    return [[t.name for t in graph.tensors()] for graph in model.graphs]


def test_there_and_back(conv_net_int8: bytes):
    content = recorded(conv_net_int8)
    stripped, names = strip_names(content, keep=("version",))
    model = load(stripped)
    assert unpack_record(model.metadata[METADATA_NAME]) == {"version": "1", "stripped": True}
    ends = {t.name for t in (*model.graph.inputs, *model.graph.outputs)}
    assert ends == {t.name for t in (*load(content).graph.inputs, *load(content).graph.outputs)}
    inner = [name for name in all_names(model)[0] if name not in ends]
    assert inner == [str(n) for n in range(len(inner))]
    assert with_names(stripped, names) == content
    assert Names.from_json(names.to_json().encode()) == names
    assert strip_names(content, keep=("version",)) == (stripped, names)
    feed = [RNG.integers(-128, 128, model.graph.inputs[0].shape).astype(np.int8)]
    for kernels in KERNELS:
        before, after = (run_kernels(c, kernels, feed)[0] for c in (content, stripped))
        np.testing.assert_array_equal(before, after)


def test_signatures_of_all_graphs_keep_their_names():
    content = two_entries()
    stripped, names = strip_names(content)
    assert [len(graph) for graph in names.tensors] == [len(graph) for graph in all_names(load(content))]
    for before, after in zip(load(content).signatures, load(stripped).signatures, strict=True):
        for side in ("inputs", "outputs"):
            ours, theirs = ([(key, t.name) for key, t in getattr(s, side)] for s in (before, after))
            assert ours == theirs
    x = RNG.normal(size=(1, 8, 64)).astype(np.float32)
    np.testing.assert_array_equal(run_entry(content, "prefill", x=x), run_entry(stripped, "prefill", x=x))
    assert with_names(stripped, names) == content


def test_names_that_are_numbers_are_no_others():
    """OpenVINO tells tensors apart by their names."""
    x, middle, y = (activation(name, (1, 4), 0.1, 0) for name in ("1", "between", "0"))
    weights = [weight(name, "dense", np.eye(4), np.full(4, 0.01)) for name in ("v", "w")]
    ops = [layer_op("dense", x, weights[0], None, middle), layer_op("dense", middle, weights[1], None, y)]
    stripped, _ = strip_names(file_of(ops, [x], [y]))
    (names,) = all_names(load(stripped))
    assert sorted(names) == ["0", "1", "2", "3", "4"]
    assert (names[0], load(stripped).graph.outputs[0].name) == ("1", "0")


def test_layers_to_be_expanded_are_still_told_apart():
    x, y = activation("x", (1, 4), 0.1, 0), activation("y", (1, 4), 0.1, 0)
    w = weight("block/dense/int4/weight", "dense", np.ones((4, 4)), np.full(4, 0.01), int4=True)
    content = file_of([layer_op("dense", x, w, bias("block/dense/bias#1", np.zeros(4), x, w), y)], [x], [y])
    (op,) = load(strip_names(content, expandable=["block/dense"])[0]).graph.ops
    assert [t.name for t in op.inputs if t is not None] == ["x", "0/int4/weight", "0/bias#1"]
    (op,) = load(strip_names(content)[0]).graph.ops
    assert [t.name for t in op.inputs if t is not None] == ["x", "0", "1"]


def test_names_of_other_files(conv_net_int8: bytes):
    _, names = strip_names(two_entries())
    with pytest.raises(FileFormatError, match="there are names of"):
        put_back(load(conv_net_int8), names)
    with pytest.raises(FileFormatError, match="there are names of"):
        names.within(read_model(conv_net_int8))
    with pytest.raises(ValueError, match="belongs to another file"):
        names.check(conv_net_int8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "format"),
        ('{"format": "tfmpq names 1"}', "lacks"),
        ('{"format": "tfmpq names 1", "sha256": "0", "tensors": [[1]], "record": {}}', "no lists of texts"),
    ],
)
def test_what_are_no_names(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        Names.from_json(text.encode())


# ---------------------------------------------------------------- scales of biases


def test_biases_with_the_scales_of_their_rows_change_no_output(conv_net_int8: bytes):
    shared, count = share_bias_scales(conv_net_int8)
    biased = [
        op for op in load(conv_net_int8).graph.ops if kind_of(op) is not None and op.optional_input(2) is not None
    ]
    scales = [op.input(1).quantization for op in biased]
    by_row = [scaling.scale.size for scaling in scales if scaling is not None and scaling.scale.size > 1]
    assert count == len(by_row) >= 3
    saved = len(save(load(conv_net_int8))) - len(shared)
    assert saved >= 4 * sum(by_row) - 16  # a file is a multiple of 16 bytes
    feed = [RNG.integers(-128, 128, load(shared).graph.inputs[0].shape).astype(np.int8)]
    for kernels in KERNELS:
        before, after = (run_kernels(c, kernels, feed)[0] for c in (conv_net_int8, shared))
        np.testing.assert_array_equal(before, after)
    assert share_bias_scales(shared) == (shared, 0)


def test_single_scales_and_biases_of_two_layers_stay():
    """Kernels compare a single scale with the product; a bias has one scale vector for all that read it."""
    x, middle, y = (activation(name, (1, 4), 0.1, 0) for name in ("x", "middle", "y"))
    v = weight("v", "dense", np.eye(4), np.full(4, 0.01))
    w = weight("w", "dense", np.eye(4), np.full(4, 0.02))
    b = bias("b", np.zeros(4), x, v)
    content = file_of([layer_op("dense", x, v, b, middle), layer_op("dense", middle, w, b, y)], [x], [y])
    assert share_bias_scales(content) == (save(load(content)), 0)
    single = weight("w", "dense", np.eye(4), np.full(1, 0.02))
    one = bias("b", np.zeros(4), x, single)
    content = file_of([layer_op("dense", x, single, one, y)], [x], [y])
    assert share_bias_scales(content)[1] == 0
