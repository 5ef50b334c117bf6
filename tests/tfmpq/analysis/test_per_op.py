"""The time of every operator, and how far their sum explains the whole. Times are made up, so that sums are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from converters.errors import FileFormatError, OptionError
from converters.tflite.reader import load
from tests.support.op_models import activation, add_op, bias, concat_op, file_of, layer_op, weight
from tfmpq.analysis.per_op import PerOp, per_op
from tfmpq.analysis.per_op_timing import Piece

OVERHEAD = 2.0
MICROSECONDS = {"CONV_2D": 40.0, "DEPTHWISE_CONV_2D": 20.0, "MEAN": 5.0, "FULLY_CONNECTED": 10.0}
NET = ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "MEAN", "FULLY_CONNECTED"]  # conv_net's operators
SUM = 2 * 40.0 + 20.0 + 5.0 + 10.0


def fake_times(monkeypatch: pytest.MonkeyPatch, whole: float, *, odd: float | None = None) -> None:
    """Gives the whole file, each operator's file and the almost empty file their times; ``odd``: the whole's 4th."""
    wholes = 0

    def seconds(piece: Piece, clock: object, *, warm: bool = False) -> float:
        nonlocal wholes
        names = [d["op_name"] for d in piece.interpreter._get_ops_details() if d["op_name"] != "DELEGATE"]
        if len(names) > 1:
            wholes += 1
            return (odd if odd is not None and wholes % 4 == 0 else whole) * 1e-6
        if names == ["ADD"]:
            return OVERHEAD * 1e-6
        return (MICROSECONDS[names[0]] + OVERHEAD) * 1e-6

    monkeypatch.setattr(Piece, "seconds", seconds)


def measured(content: bytes, **options: object) -> PerOp:
    return per_op(content, rounds=5, progress=False, **options)  # type: ignore[arg-type]


def test_operators_layers_and_sum(conv_net_int8, monkeypatch):
    fake_times(monkeypatch, SUM + OVERHEAD)
    result = measured(conv_net_int8)
    assert [row.op_name for row in result.rows] == NET
    assert [row.layer for row in result.rows] == ["stem", "depthwise", "project", "pool", "classifier"]
    assert [row.microseconds for row in result.rows] == pytest.approx([MICROSECONDS[n] for n in NET])
    assert [row.share for row in result.rows] == pytest.approx([MICROSECONDS[n] / SUM for n in NET])
    assert result.rows[0].inputs == ((1, 8, 8, 3),)
    assert result.rows[0].outputs == ((1, 8, 8, 8),)
    assert result.whole_us == pytest.approx(SUM + OVERHEAD)
    assert result.sum_us == pytest.approx(SUM + OVERHEAD)  # the overhead counts once, not five times
    assert (result.agreement, result.reasons, result.rounds) == (pytest.approx(1), (), 5)
    assert result.by_name() == pytest.approx({"CONV_2D": 80, "DEPTHWISE_CONV_2D": 20, "MEAN": 5, "FULLY_CONNECTED": 10})
    assert list(result.by_layer()) == ["stem", "depthwise", "project", "pool", "classifier"]


@pytest.mark.parametrize(("factor", "explained"), [(1.04, True), (0.96, True), (1.10, False), (0.90, False)])
def test_a_sum_that_is_off_by_more_than_5_percent_is_said_with_reasons(conv_net_int8, monkeypatch, factor, explained):
    fake_times(monkeypatch, (SUM + OVERHEAD) / factor)
    result = measured(conv_net_int8)
    assert result.agreement == pytest.approx(factor)
    assert bool(result.reasons) != explained
    if not explained:
        assert result.reasons[-1].startswith("caches: alone")
        assert ("farther" in result.reasons[-1]) == (factor > 1)
        assert f"10% {'above' if factor > 1 else 'below'} the whole" in str(result)


def test_reasons_name_threads_and_a_busy_machine(conv_net_int8, monkeypatch):
    fake_times(monkeypatch, 100.0, odd=300.0)
    reasons = " ".join(per_op(conv_net_int8, rounds=16, threads=2, progress=False).reasons)
    assert "the machine is busy" in reasons
    assert "2 threads must be woken" in reasons


def test_text_is_aligned_and_bars_are_as_long_as_times(conv_net_int8, monkeypatch):
    fake_times(monkeypatch, SUM + OVERHEAD)
    lines = str(measured(conv_net_int8)).splitlines()
    assert max(map(len, lines)) <= 120
    bars = [line.count("#") for line in lines[2:7]]
    assert bars == [24, 12, 24, 3, 6]
    assert len({line.index("%") for line in lines[2:7]}) == 1
    assert "whole 117 us, sum 117 us = 100.0% of it (2.0 us a run, taken off each operator, counted once)" in lines
    after = lines.index("by layer")
    assert [line.split()[0] for line in lines[after + 2 : after + 4]] == ["stem", "project"]  # by time


def test_dict_is_json(conv_net_int8, monkeypatch):
    fake_times(monkeypatch, SUM + OVERHEAD)
    result = measured(conv_net_int8)
    data = json.loads(json.dumps(result.to_dict()))
    assert [row["op_name"] for row in data["rows"]] == NET
    assert data["by_layer"]["stem"] == pytest.approx(40)
    assert data["agreement"] == pytest.approx(1)


@pytest.mark.parametrize("delegate", ["xnnpack", "builtin"])
@pytest.mark.parametrize("fixture", ["conv_net_int8", "conv_net_float"])
def test_real_runs(fixture, delegate, request):
    content = request.getfixturevalue(fixture)
    result = per_op(content, rounds=2, delegate=delegate, progress=False)
    assert len(result.rows) == len(load(content).graph.ops)
    assert all(row.microseconds is not None and not row.note for row in result.rows)
    assert result.whole_us > 0
    assert result.delegate in str(result)


def test_an_operator_that_cannot_run_alone_has_no_time_but_a_reason(conv_net_int8, monkeypatch):
    from tfmpq.analysis import per_op_timing

    real = per_op_timing.make_interpreter

    def refuse(content: bytes, **options: object):
        if any(op.name == "MEAN" for op in load(content).graph.ops):
            raise FileFormatError("the model (9 bytes): no such kernel. Convert it again.")
        return real(content, **options)  # type: ignore[arg-type]

    fake_times(monkeypatch, 2 * SUM)
    monkeypatch.setattr(per_op_timing, "make_interpreter", refuse)
    result = measured(conv_net_int8)
    assert [row.microseconds is None for row in result.rows] == [name == "MEAN" for name in NET]
    assert result.rows[3].note == "cannot be run alone: the model (9 bytes): no such kernel"
    assert result.reasons[0] == "1 of 5 operators could not be timed alone"
    assert "op 3: cannot be run alone" in str(result)
    assert result.by_layer()["pool"] == 0


def test_operators_are_timed_with_what_they_are_given_in_the_network():
    """Fallbacks keep the kernels they have in the file: six joined pieces are not the delegate's, alone or not."""
    x = activation("x", (1, 4, 4, 4), 0.1, 0)
    kernel = weight("w", "conv", np.ones((4, 1, 1, 4)), np.full(4, 0.01))
    parts = [activation(f"p{i}", (1, 4, 4, 4), 0.1, 0) for i in range(6)]
    y = activation("y", (1, 4, 4, 24), 0.1, 0)
    ops = [layer_op("conv", x, kernel, bias("b", np.zeros(4), x, kernel), parts[0])]
    ops += [add_op(parts[i], parts[i], parts[i + 1]) for i in range(5)]
    result = per_op(file_of([*ops, concat_op(parts, y, axis=3)], [x], [y]), rounds=2, progress=False)
    assert [row.op_name for row in result.rows] == ["CONV_2D", *["ADD"] * 5, "CONCATENATION"]
    assert not any(row.note for row in result.rows)


def test_bad_options_and_files(conv_net_int8):
    with pytest.raises(OptionError, match="threads=0"):
        per_op(conv_net_int8, threads=0)
    with pytest.raises(OptionError, match="rounds=0"):
        per_op(conv_net_int8, rounds=0)
    with pytest.raises(OptionError, match="'gpu': give one of 'xnnpack', 'builtin'"):
        per_op(conv_net_int8, delegate="gpu")  # type: ignore[arg-type]
    with pytest.raises(FileFormatError, match="cut off or corrupt"):
        per_op(conv_net_int8[:500])
