"""Latency ratios of files against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import FileFormatError
from converters.runtime import interpreter as runtime
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.writer import save
from tfmpq.benchmark.latency import latency_ratios, many_latency_ratios


def chain(ops: int) -> bytes:
    """A float file of ``ops`` TANH operators on a large tensor, one after the other."""
    tensors = [Tensor(f"t{i}", (1, 1 << 16), TensorType.FLOAT32) for i in range(ops + 1)]
    made = [Op(BuiltinOperator.TANH, [tensors[i]], [tensors[i + 1]]) for i in range(ops)]
    return save(Model([Graph([tensors[0]], [tensors[-1]], made)], [], {}))


class Clock:
    """Time that passes with the work: a second an operator, twice that while the machine is busy or tires."""

    def __init__(self) -> None:
        self.now, self.runs, self.busy = 0.0, 0, range(0)
        self.tires = False

    def perf_counter(self) -> float:
        return self.now

    def passes(self, interpreter: Any) -> None:
        self.runs += 1
        slow = self.runs in self.busy or (self.tires and self.runs % 2)
        self.now += len(interpreter._get_ops_details()) * (2 if slow else 1)


def test_ratios_follow_the_work(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    made = runtime.make_interpreter

    def timed(content: bytes, *, threads: int) -> Any:
        assert threads == 3
        interpreter = made(content, kernels="builtin", threads=threads)
        invoke = interpreter.invoke
        interpreter.invoke = lambda: (invoke(), clock.passes(interpreter))
        return interpreter

    monkeypatch.setattr("tfmpq.benchmark.latency.runtime.make_interpreter", timed)
    monkeypatch.setattr("tfmpq.benchmark.latency.time", clock)
    files = {"one": chain(2), "twin": chain(2), "ten times": chain(20)}
    assert latency_ratios(files, reference="one", threads=3) == {"one": 1.0, "twin": 1.0, "ten times": 10.0}
    # A third of the rounds on a busy machine, from the middle of one on: medians of ratios within a round do not move.
    clock.busy = range(clock.runs + 20, clock.runs + 45)
    assert latency_ratios(files, reference="one", threads=3) == {"one": 1.0, "twin": 1.0, "ten times": 10.0}
    # Whoever comes second is slow: no file comes second more often than the other.
    del files["ten times"]
    clock.busy, clock.tires = range(0), True
    assert latency_ratios(files, reference="one", threads=3) == {"one": 1.0, "twin": 1.0}


def test_real_interpreters():
    ratios = latency_ratios({"one": chain(2), "hundred times": chain(200)}, reference="one")
    assert ratios["one"] == 1.0
    assert ratios["hundred times"] > 3  # on any machine, however busy


def test_files_that_zeros_break_are_fed_a_sample():
    divisor, result = Tensor("x", (1, 4), TensorType.INT32), Tensor("y", (1, 4), TensorType.INT32)
    op = Op(BuiltinOperator.FLOOR_DIV, [divisor, divisor], [result])
    files = {"one": save(Model([Graph([divisor], [result], [op])], [], {}))}
    with pytest.raises(FileFormatError, match="FLOOR_DIV"):
        latency_ratios(files, reference="one")
    assert latency_ratios(files, reference="one", sample={"x": np.ones((1, 4), np.int32)}) == {"one": 1.0}


def test_many_files_are_measured_a_few_at_a_time_and_equal_ones_once(monkeypatch: pytest.MonkeyPatch):
    measured: list[dict[str, bytes]] = []

    def ratios(files: dict[str, bytes], *, reference: str) -> dict[str, float]:
        measured.append(files)
        return {
            name: 1.0 if name == reference else len(content) + 0.1 * len(measured) for name, content in files.items()
        }

    monkeypatch.setattr("tfmpq.benchmark.latency.latency_ratios", ratios)
    contents = {"stock": b"", **{f"n{i}": bytes(i + 1) for i in range(9)}, "again": bytes(9)}
    found = dict.fromkeys(contents, 0.0)
    for names, ratio in many_latency_ratios(list(contents), contents.__getitem__, reference=b""):
        found |= dict.fromkeys(names, ratio)
    assert found["stock"] == 1.0
    assert found["n8"] == found["again"]
    assert [len(files) for files in measured] == [6] * 3 + [
        5
    ] * 3  # nine files and stock in two parts, three times each
    assert found["n0"] == pytest.approx(1.2)  # the median of three
