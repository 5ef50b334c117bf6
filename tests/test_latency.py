"""Latency ratios of files against each other."""

from __future__ import annotations

from converters.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType, save
from tfmpq.latency import latency_ratios


def chain(ops: int) -> bytes:
    """A float file of ``ops`` TANH operators on a large tensor, one after the other."""
    tensors = [Tensor(f"t{i}", (1, 1 << 16), TensorType.FLOAT32) for i in range(ops + 1)]
    made = [Op(BuiltinOperator.TANH, [tensors[i]], [tensors[i + 1]]) for i in range(ops)]
    return save(Model([Graph([tensors[0]], [tensors[-1]], made)], [], {}))


def test_ratios_follow_the_work():
    ratios = latency_ratios({"one": chain(2), "twin": chain(2), "ten times": chain(20)}, reference="one")
    assert ratios["one"] == 1.0
    # Interleaved medians: a busy machine moves them by a few percent; a factor of 1.5 is never noise.
    assert 1 / 1.5 < ratios["twin"] < 1.5
    assert ratios["ten times"] > 3
