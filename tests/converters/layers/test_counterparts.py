"""Steps of two files of one network find each other, whatever the lowering and the names."""

from __future__ import annotations

import numpy as np
import pytest

from converters.layers.counterparts import Counterparts, find_counterparts
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tests.support.pipeline import RESIDUAL_LAYERS, residual
from tfmpq.recipe.rules import LayerSettings


def lowered(lowering: str) -> Model:
    base = residual()
    settings = LayerSettings(4, 2, "radix", lowering)
    rows = {n: base.rows(n, settings, 1 + np.arange(base.layers[n].channels) % 2) for n in RESIDUAL_LAYERS}
    return load(base.emit(rows, lowering).content)


def kinds(found: Counterparts) -> list[tuple[str, str]]:
    return [(a.kind, b.kind) for a, b in found.pairs]


def check_complete(found: Counterparts) -> None:
    assert not found.only_first
    assert not found.only_second
    assert all(a.output.shape == b.output.shape for a, b in found.pairs)
    assert all(first == second for first, second in kinds(found))


@pytest.mark.parametrize("lowering", ["split", "parallel", "fused"])
@pytest.mark.parametrize("reference", ["float", "stock"])
def test_lowerings_of_one_network(lowering, reference):
    base = residual()
    first = load(base.model.flatbuffer if reference == "float" else base.stock)
    second = lowered(lowering)
    found = find_counterparts(first, second)
    check_complete(found)
    assert all(a.output.name == b.output.name for a, b in found.pairs)
    assert [b.layer for _, b in found.pairs if b.has_weights] == list(RESIDUAL_LAYERS)
    taken = [op for _, b in found.pairs for op in b.ops]
    assert sorted(map(id, taken)) == sorted(map(id, second.graph.ops))  # no operator is lost or counted twice


def test_two_lowerings_against_each_other():
    check_complete(find_counterparts(lowered("split"), lowered("parallel")))


@pytest.mark.parametrize("io_dtype", ["float32", "uint8"])
def test_conversions_at_the_ends_are_no_steps(io_dtype):
    base, other = residual(), residual(io_dtype)
    found = find_counterparts(load(base.stock), load(other.stock))
    check_complete(found)
    assert not {"QUANTIZE", "DEQUANTIZE"} & {kind for pair in kinds(found) for kind in pair}


def test_without_common_names_the_order_decides():
    base = residual()
    second = lowered("split")
    first = load(base.stock)
    for number, tensor in enumerate(first.graph.tensors()):
        tensor.name = f"other/layer{number}/result"
    found = find_counterparts(first, second)
    check_complete(found)
    assert [b.layer for _, b in found.pairs if b.has_weights] == list(RESIDUAL_LAYERS)
    assert [first.graph.ops.index(a.ops[-1]) for a, _ in found.pairs] == sorted(
        first.graph.ops.index(a.ops[-1]) for a, _ in found.pairs
    )


def test_layers_of_other_sizes_have_no_counterpart(conv_net_int8):
    found = find_counterparts(load(residual().stock), load(conv_net_int8))
    assert {"expand", "dw"} <= {step.layer for step in found.only_first}
    assert all(a.output.shape == b.output.shape for a, b in found.pairs)
