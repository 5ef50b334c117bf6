"""Files side by side: turns, ratios, the A/A pair, and what happens when a process fails or the user has enough."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import DataError, FileFormatError, OptionError
from tfmpq.benchmark import run as module
from tfmpq.benchmark.device import Device
from tfmpq.benchmark.result import BenchmarkResult
from tfmpq.benchmark.run import BenchmarkInterrupted, benchmark
from tfmpq.benchmark.worker import Job, Ready

MS = 1_000_000


class Machine:
    """Workers without processes: each file takes the time it is said to, more in some rounds, for every process."""

    def __init__(self, **milliseconds: float) -> None:
        self.milliseconds = milliseconds
        self.started: list[Job] = []
        self.turns: list[tuple[str, int, str, int]] = []
        self.running = 0
        self.shapes: dict[str, dict[str, list[int]]] = {}
        self.raw: dict[str, list[str]] = {}
        self.twin_factor = 1.0
        self.before_turn: Callable[[Job], None] = lambda _: None

    def start(self, job: Job, *, timeout: float) -> FakeWorker:
        self.started.append(job)
        return FakeWorker(self, job)


class FakeWorker:
    def __init__(self, machine: Machine, job: Job) -> None:
        self.machine, self.job, self.number = machine, job, len(machine.started)
        earlier = machine.started[:-1]
        self.factor = machine.twin_factor if job in earlier else 1.0
        self.rounds = 0

    def __enter__(self) -> FakeWorker:
        self.machine.running += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.running -= 1

    def ready(self) -> Ready:
        name = self.job.path
        if name not in self.machine.milliseconds:
            raise FileFormatError(f"file '{name}' cannot be read")
        shapes = self.machine.shapes.get(name, {"x": [1, 4]})
        return Ready("runtime 1", 2.0, 3.0, name, 4, 5, 1, shapes, self.machine.raw.get(name, []))

    def run_round(self, runs: int, seconds: float) -> tuple[list[int], float]:
        self.machine.before_turn(self.job)
        self.machine.turns.append((self.job.path, self.job.threads, self.job.delegate, self.number))
        self.rounds += 1
        pace = 1 + self.rounds % 3  # the machine's clock changes from round to round
        time = self.machine.milliseconds[self.job.path] * self.factor * pace / self.job.threads
        return [round(time * MS)] * runs, 50.0 + self.rounds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(a=1.0, b=1.25, c=3.0)
    monkeypatch.setattr("tfmpq.benchmark.rounds.Worker", machine.start)
    quiet = Device("cpu", 4, "performance", "os", "3", "runtime 1", "2026-01-01T00:00:00+00:00")
    monkeypatch.setattr(module, "describe_device", lambda: quiet)
    monkeypatch.setattr(module, "load_average", lambda: 0.0)
    return machine


def run(*files: str, **options: Any) -> BenchmarkResult:
    return benchmark(files, progress=False, **{"rounds": 12, "min_runs": 25, "min_seconds": 0.0, **options})


# ---------------------------------------------------------------- what is measured


def test_ratios_and_times(machine: Machine):
    result = run("a", "b", "c")
    a, b, c = result.runs
    assert (a.ratio, a.ratio_low, a.ratio_high) == (1, 1, 1)
    assert (b.ratio, b.ratio_low, b.ratio_high) == (1.25, 1.25, 1.25)
    assert c.ratio == 3
    assert a.count == 12 * 3  # 25 runs in 12 rounds are 3 a round
    assert (a.min_ms, a.p50_ms, a.mean_ms, a.max_ms) == (1, 2, 2, 3)
    assert (a.init_ms, a.first_ms, a.peak_rss_mb) == (2, 3, 50 + 12)
    assert (b.delegated_ops, b.ops, b.partitions, b.output_sha256) == (4, 5, 1, "b")
    assert (b.path, b.runtime, b.threads, b.delegate, b.error) == ("b", "runtime 1", 1, "xnnpack", None)
    assert result.noise.percent == 0
    assert result.noise.warnings == ()
    assert result.failed == ()


def test_every_process_has_a_turn_in_every_round_and_no_fixed_place(machine: Machine):
    run("a", "b", "c")
    rounds = list(zip(*[iter(machine.turns)] * 4, strict=True))
    assert len(rounds) == 12
    for turns in rounds:
        assert sorted(turn[0] for turn in turns) == ["a", "a", "b", "c"]  # the first file in two processes
        assert len({turn[3] for turn in turns}) == 4
    firsts = Counter(turns[0][3] for turns in rounds)
    assert len(firsts) > 2
    turns, machine.turns = machine.turns, []
    machine.started.clear()
    run("a", "b", "c")
    assert machine.turns == turns  # the seed's order
    machine.turns = []
    machine.started.clear()
    run("a", "b", "c", seed=1)
    assert machine.turns != turns


def test_configurations_one_after_the_other(machine: Machine):
    alive: list[int] = []
    machine.before_turn = lambda _: alive.append(machine.running)
    result = run("a", "b", threads=(1, 2, 2), delegates=("xnnpack", "builtin"))
    expected = list(itertools.product(("xnnpack", "builtin"), (1, 2), ("a", "b")))
    assert [(run.delegate, run.threads, run.path) for run in result.runs] == expected
    assert set(alive) == {3}  # the processes of one configuration
    assert machine.running == 0
    assert [key for key, _ in itertools.groupby(turn[1:3] for turn in machine.turns)] == [
        (1, "xnnpack"), (2, "xnnpack"), (1, "builtin"), (2, "builtin"),
    ]  # fmt: skip
    assert [(pair.threads, pair.delegate) for pair in result.noise.pairs] == [
        (1, "xnnpack"), (2, "xnnpack"), (1, "builtin"), (2, "builtin"),
    ]  # fmt: skip
    assert all(run.ratio == (1.25 if run.path == "b" else 1) for run in result.runs)
    assert {run.p50_ms for run in result.runs if run.path == "a"} == {2.0, 1.0}


def test_a_pair_that_differs_is_noise(machine: Machine):
    machine.twin_factor = 0.95
    result = run("a", "b")
    (pair,) = result.noise.pairs
    assert (pair.path, pair.ratio, pair.ratio_low, pair.ratio_high) == ("a", 0.95, 0.95, 0.95)
    assert pair.percent == result.noise.percent == pytest.approx(5)
    assert pair.spread == pytest.approx(0, abs=1e-9)
    (warning,) = result.noise.warnings
    assert "'a' against itself (xnnpack, threads 1) came out as 0.950" in warning
    assert "differences below 5.0 % mean nothing" in warning
    assert result.runs[1].ratio == 1.25
    machine.twin_factor = 1.015  # as quiet as machines are
    machine.started.clear()
    assert run("a").noise.warnings == ()


def test_a_machine_with_other_work(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "load_average", lambda: 3.4)
    assert any("3.4 of 4 cores" in warning for warning in run("a").noise.warnings)


# ---------------------------------------------------------------- failures


def test_a_file_that_fails_is_a_row_and_loses_nothing(machine: Machine):
    result = run("a", "absent", "b")
    a, absent, b = result.runs
    assert (a.ratio, b.ratio) == (1, 1.25)
    assert absent.error == "file 'absent' cannot be read"
    assert (absent.p50_ms, absent.ratio, absent.ops, absent.bytes) == (None, None, None, None)
    assert result.failed == (absent,)
    assert result.noise.percent == 0


def test_without_the_first_file_there_are_no_ratios_but_times_and_noise(machine: Machine):
    result = run("absent", "b", "c")
    assert [run.ratio for run in result.runs] == [None, None, None]
    assert [run.p50_ms for run in result.runs] == [None, 2.5, 6]
    assert [pair.path for pair in result.noise.pairs] == ["b"]


def test_a_process_that_dies_later(machine: Machine):
    def die(job: Job) -> None:
        if job.path == "b" and len(machine.turns) > 20:
            raise FileFormatError("the runtime ended the process (signal SIGSEGV)")

    machine.before_turn = die
    result = run("a", "b", "c")
    a, b, c = result.runs
    assert b.error == "the runtime ended the process (signal SIGSEGV)"
    assert (b.ops, b.p50_ms, b.ratio) == (5, None, None)
    assert (a.count, c.count, c.ratio) == (36, 36, 3)
    assert machine.running == 0


def test_nothing_runs(machine: Machine):
    result = run("absent", "absent too")
    assert [run.error is None for run in result.runs] == [False, False]
    assert result.noise.percent is None
    assert machine.turns == []


def test_inputs_must_be_the_same_work(machine: Machine):
    machine.shapes = {"b": {"y": [1, 4]}, "c": {"x": [1, 8]}}
    a, b, c = run("a", "b", "c").runs
    assert (a.error, b.error) == (None, None)  # another name is no other work
    assert c.error is not None
    assert "its inputs are 'x' (1, 8), those of 'a' 'x' (1, 4)" in c.error


def test_integers_that_mean_two_things_are_refused(machine: Machine, tmp_path: Path):
    np.savez(tmp_path / "raw.npz", x=np.zeros((1, 4), np.int8))
    machine.raw = {"b": ["x"]}
    a, b = run("a", "b", inputs=tmp_path / "raw.npz").runs
    assert a.error is None
    assert b.error is not None
    assert "give real values as float32" in b.error
    assert all(run.error is None for run in run("a", "b").runs)  # random values have no meaning


def test_inputs_that_cannot_be_read(machine: Machine, tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read"):
        run("a", inputs=tmp_path / "absent.npz")
    assert machine.started == []


@pytest.mark.parametrize(
    "options",
    [
        {"threads": ()}, {"threads": (1, 0)}, {"delegates": ()}, {"delegates": ("gpu",)}, {"warmup": -1},
        {"min_runs": 0}, {"min_seconds": -1.0}, {"min_seconds": float("nan")}, {"min_seconds": float("inf")},
        {"rounds": 0}, {"timeout": 0.0}, {"timeout": float("nan")}, {"files": ()}, {"files": "a"},
    ],
)  # fmt: skip
def test_options_out_of_range(machine: Machine, options: dict[str, Any]):
    with pytest.raises(OptionError, match=next(iter(options))):
        benchmark(**{"files": ("a",), "progress": False, **options})
    assert machine.started == []


# ---------------------------------------------------------------- Ctrl-C


@pytest.fixture
def interrupt_after(machine: Machine) -> Iterator[Callable[[int], None]]:
    def set_turns(turns: int) -> None:
        def check(_: Job) -> None:
            if len(machine.turns) == turns:
                raise KeyboardInterrupt

        machine.before_turn = check

    yield set_turns
    assert machine.running == 0


def test_interrupted_between_rounds(machine: Machine, interrupt_after: Callable[[int], None]):
    interrupt_after(3 * 7 + 1)  # three processes: in the eighth round
    with pytest.raises(BenchmarkInterrupted) as interruption:
        run("a", "b", threads=(1, 2))
    result = interruption.value.result
    a, b, *second = result.runs
    assert {a.count, b.count} <= {21, 24}
    assert (b.ratio, b.ratio_low) == (1.25, 1.25)  # from the seven rounds of both
    assert [run.error for run in second] == ["interrupted before it was timed"] * 2
    assert result.noise.percent == 0


def test_interrupted_before_anything(machine: Machine, interrupt_after: Callable[[int], None]):
    interrupt_after(0)
    with pytest.raises(KeyboardInterrupt) as interruption:
        run("a", "b")
    assert isinstance(interruption.value, BenchmarkInterrupted)
    result = interruption.value.result
    assert [run.error for run in result.runs] == ["interrupted before it was timed"] * 2
    assert [run.init_ms for run in result.runs] == [2, 2]
    assert result.noise.percent is None


# ---------------------------------------------------------------- real processes


def test_real_files(tmp_path: Path, conv_net_int8: bytes, conv_net_float: bytes, images: np.ndarray):
    paths = [tmp_path / name for name in ("float.tflite", "int8.tflite", "cut.tflite")]
    for path, content in zip(paths, (conv_net_float, conv_net_int8, conv_net_int8[:999]), strict=True):
        path.write_bytes(content)
    np.savez(tmp_path / "x.npz", image=images[:1])
    options = {"rounds": 6, "min_runs": 12, "min_seconds": 0.0, "warmup": 0, "progress": False}
    result = benchmark(paths, inputs=tmp_path / "x.npz", threads=(1, 2), delegates=("xnnpack", "builtin"), **options)
    assert len(result.runs) == 12
    for run in result.runs:
        assert (run.error is None) == (run.path != str(paths[2]))
        if run.error is None:
            assert run.count == 12
            assert run.bytes == Path(run.path).stat().st_size
            assert run.ratio is not None
            assert run.p50_ms is not None
            assert run.max_ms is not None
            assert 0 < run.p50_ms <= run.max_ms
            assert (run.ops, run.delegated_ops) == (5, 5 if run.delegate == "xnnpack" else 0)
    assert len(result.noise.pairs) == 4
    for delegate in ("xnnpack", "builtin"):  # integers do not depend on the number of threads, floats may
        found = {run.output_sha256 for run in result.runs if (run.path, run.delegate) == (str(paths[1]), delegate)}
        assert len(found) == 1
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["runs"][0]["path"] == str(paths[0])
