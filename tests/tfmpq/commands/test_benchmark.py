"""``tfmpq benchmark``."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags

from converters.errors import FileFormatError
from tests.support.op_models import softmax_file
from tests.support.whole_files import WIDTH, two_entries
from tfmpq import cli
from tfmpq.benchmark.device import Device
from tfmpq.benchmark.result import BenchmarkResult, Noise, Run
from tfmpq.benchmark.run import BenchmarkInterrupted, benchmark
from tfmpq.commands import COMMANDS
from tfmpq.commands.benchmark import OPTIONS

QUICK = ("--rounds=6", "--min_runs=6", "--min_seconds=0", "--warmup=0", "--noprogress")
RUN_FIELDS = [  # what other benchmarks of this project (C, Android) write too
    "path", "bytes", "runtime", "threads", "delegate", "count", "mean_ms", "std_ms", "min_ms", "p50_ms", "p90_ms",
    "p95_ms", "p99_ms", "max_ms", "init_ms", "first_ms", "peak_rss_mb", "ratio", "ratio_low", "ratio_high",
    "delegated_ops", "ops", "partitions", "output_sha256", "error",
]  # fmt: skip


@pytest.fixture
def folder(
    tmp_path: Path, conv_net_int8: bytes, conv_net_float: bytes, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current directory: int8.tflite, float.tflite, the corrupt cut.tflite, arrays of all kinds."""
    (tmp_path / "int8.tflite").write_bytes(conv_net_int8)
    (tmp_path / "float.tflite").write_bytes(conv_net_float)
    (tmp_path / "cut.tflite").write_bytes(conv_net_int8[:1000])
    np.savez(tmp_path / "good.npz", image=images[:1])
    np.savez(tmp_path / "wrong.npz", image=images[:1, :5])
    np.savez(tmp_path / "nan.npz", image=np.full_like(images[:1], np.nan))
    np.savez(tmp_path / "other.npz", picture=images[:1], label=images[:1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in the folder -> exit code, stdout, stderr."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.run(["benchmark", *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run_command


def result_of(*runs: Run) -> BenchmarkResult:
    device = Device("cpu", 4, None, "os", "3", "runtime 1", "2026-01-01T00:00:00+00:00")
    return BenchmarkResult(device, Noise(None, (), ()), runs)


def timed(path: str, **changes: Any) -> Run:
    times = dict.fromkeys(("mean_ms", "std_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"), 1.0)
    fields = {"threads": 2, "delegate": "xnnpack", "count": 5, **times, "delegated_ops": 3, "ops": 3, **changes}
    return Run(path=path, bytes=10, runtime="runtime 1", **fields)


def test_tables_and_files(run, folder):
    outputs = ("--json=o.json", "--csv=o.csv", "--markdown=o.md", "--html=o.html")
    code, out, err = run("int8.tflite", "float.tflite", *QUICK, *outputs)
    assert (code, err) == (0, "")
    assert "\nint8.tflite " in out
    assert "5/5" in out
    content = json.loads((folder / "o.json").read_text())
    assert list(content) == ["schema", "device", "noise", "runs", "made_by"]
    assert content["made_by"]["files"] == {"files": ["int8.tflite", "float.tflite"]}
    assert list(content["device"]) == ["cpu", "cores", "governor", "os", "python", "runtime", "time"]
    assert [list(run) for run in content["runs"]] == [RUN_FIELDS] * 2
    assert content["noise"]["percent"] >= 0
    with open("o.csv", newline="") as file:
        assert [row["output_sha256"] for row in csv.DictReader(file)] == [r["output_sha256"] for r in content["runs"]]
    assert "| float.tflite | 1 | xnnpack |" in (folder / "o.md").read_text()
    assert f"ratio {content['runs'][1]['ratio']:.3f} (" in (folder / "o.html").read_text()


def test_a_signature_is_what_runs(run, folder):
    (folder / "two.tflite").write_bytes(two_entries())
    (folder / "turned.tflite").write_bytes(two_entries(order=(1, 0)))
    digests = {}
    for signature, length in (("prefill", 8), ("decode", 1)):
        np.savez(folder / "x.npz", np.ones((1, length, WIDTH), np.float32))
        given = (f"--signature={signature}", "--inputs=x.npz", "--per_op", *QUICK, "--json=o.json")
        code, out, err = run("two.tflite", "turned.tflite", *given)
        assert code == 0, err  # the runtime may say there what it does
        content = json.loads((folder / "o.json").read_text())
        assert [row["path"] for row in content["runs"]] == ["two.tflite", "turned.tflite"]
        assert [row["bytes"] for row in content["runs"]] == [len(two_entries())] * 2
        (digests[signature],) = {row["output_sha256"] for row in content["runs"]}  # the order in the file is no matter
        assert list(content["per_op"]) == ["two.tflite", "turned.tflite"]
        assert "two.tflite (" in out
    assert len(set(digests.values())) == 2


def test_a_signature_that_a_file_lacks(run, folder):
    (folder / "two.tflite").write_bytes(two_entries())
    code, out, err = run("two.tflite", "--signature=train", *QUICK)
    assert (code, out) == (2, "")
    assert "signature='train': file 'two.tflite' has the signatures ['prefill', 'decode']" in err
    code, out, err = run("two.tflite", "cut.tflite", "--signature=decode", *QUICK)
    assert code == 1
    assert err.startswith("tfmpq benchmark: 1 of 2 runs failed: file 'cut.tflite': ")
    assert "\ntwo.tflite " in out


def test_a_failing_file_costs_the_exit_code_only(run, folder):
    code, out, err = run("int8.tflite", "cut.tflite", "absent.tflite", "float.tflite", *QUICK, "--json=o.json")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("tfmpq benchmark: 2 of 4 runs failed: file 'cut.tflite': ")
    assert "file 'absent.tflite' cannot be read" in line
    for name in ("int8", "cut", "absent", "float"):
        assert f"\n{name}.tflite " in out
    runs = json.loads((folder / "o.json").read_text())["runs"]
    assert [run["error"] is None for run in runs] == [True, False, False, True]
    assert runs[3]["ratio"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.tflite"], "file 'absent.tflite' cannot be read"),
        (["cut.tflite"], "file 'cut.tflite': "),
        (["good.npz"], "not a TensorFlow Lite file"),
        (["int8.tflite", "--inputs=absent.npz"], "'absent.npz' cannot be read"),
        (["int8.tflite", "--inputs=int8.tflite"], "'int8.tflite' is no .npz"),
        (["int8.tflite", "--inputs=wrong.npz"], "'image' has shape (1, 5, 8, 3), but the model takes (1, 8, 8, 3)"),
        (["int8.tflite", "--inputs=nan.npz"], "'image' has NaN or infinite values"),
        (["float.tflite", "--inputs=nan.npz"], "'image' has NaN or infinite values"),
        (["int8.tflite", "--inputs=other.npz"], "there is no array for 'image'; there are 'picture', 'label'"),
    ],
)
def test_failed_work_exits_with_1_and_one_line(run, arguments, message):
    code, out, err = run(*arguments, *QUICK)
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("tfmpq benchmark: ")
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least 1 argument(s) expected besides flags, 0 given"),
        (["int8.tflite", "--threads=0"], "threads=[0]"),
        (["int8.tflite", "--threads=1,many"], "--threads takes whole numbers"),
        (["int8.tflite", "--delegates=gpu"], "there are xnnpack, builtin"),
        (["int8.tflite", "--min_runs=0"], "min_runs=0"),
        (["int8.tflite", "--min_runs=-5"], "min_runs=-5"),
        (["int8.tflite", "--rounds=0"], "rounds=0"),
        (["int8.tflite", "--rounds=some"], "rounds"),
        (["int8.tflite", "--timeout=-1"], "timeout=-1"),
        (["int8.tflite", "--json=absent/o.json"], "there is no directory"),
        (["int8.tflite", "--csv=."], "--csv=. cannot be written"),
        (["int8.tflite", "--markdown=int8.tflite"], "--markdown=int8.tflite would overwrite"),
        (["int8.tflite", "--inputs=good.npz", "--json=good.npz"], "--json=good.npz would overwrite"),
    ],
)
def test_usage_errors_exit_with_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_flags_are_the_options_of_the_function():
    values = flags.FlagValues()
    COMMANDS["benchmark"].define_flags(values)
    parameters = inspect.signature(benchmark).parameters
    assert set(parameters) == {"files", "threads", "delegates", *OPTIONS}
    assert {name: values[name].default for name in OPTIONS} == {name: parameters[name].default for name in OPTIONS}
    assert values["threads"].default == [str(count) for count in parameters["threads"].default]
    assert values["delegates"].default == list(parameters["delegates"].default)
    assert "--delegates  (default: xnnpack)\n" in cli._help(COMMANDS["benchmark"], values)


def test_flags_are_handed_on(run, monkeypatch):
    given: dict[str, Any] = {}

    def record(files: list[str], **options: Any) -> BenchmarkResult:
        given.update(files=files, **options)
        return result_of(timed(files[0]))

    monkeypatch.setattr("tfmpq.commands.benchmark.benchmark", record)
    arguments = ("--threads=1,2", "--delegates=builtin,xnnpack", "--seed=7", "--inputs=good.npz", "--timeout=3", *QUICK)
    assert run("b.tflite", "a.tflite", *arguments)[0] == 0
    assert given == {
        "files": ["b.tflite", "a.tflite"], "threads": [1, 2], "delegates": ["builtin", "xnnpack"], "seed": 7,
        "inputs": "good.npz", "signature": None, "timeout": 3.0, "rounds": 6, "min_runs": 6, "min_seconds": 0.0,
        "warmup": 0, "progress": False,
    }  # fmt: skip


def test_interruption_prints_and_writes_what_there_is(run, folder, monkeypatch):
    unfinished = dataclasses.replace(timed("b.tflite"), p50_ms=None, error="interrupted before it was timed")

    def interrupt(*_: object, **__: object) -> None:
        raise BenchmarkInterrupted(result_of(timed("a.tflite"), unfinished))

    monkeypatch.setattr("tfmpq.commands.benchmark.benchmark", interrupt)
    code, out, err = run("a.tflite", "b.tflite", "--json=o.json")
    assert (code, err) == (130, "tfmpq benchmark: interrupted\n")
    assert "\na.tflite " in out
    assert [run["path"] for run in json.loads((folder / "o.json").read_text())["runs"]] == ["a.tflite", "b.tflite"]


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ctrl_c_in_a_real_run(folder):
    command = [sys.executable, "-m", "tfmpq", "benchmark", "int8.tflite", "float.tflite", "--json=o.json", "--progress"]
    endless = ["--rounds=1000000", "--min_runs=1", "--min_seconds=0"]
    with subprocess.Popen([*command, *endless], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        seen = b""
        while b"/1000000 [" not in seen.replace(b" 0/1000000 [", b""):  # a round is done
            byte = process.stderr.read(1)
            assert byte, seen
            seen += byte
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert err.decode().endswith("tfmpq benchmark: interrupted\n")
    assert b"\nint8.tflite " in out
    runs = json.loads((folder / "o.json").read_text())["runs"]
    assert [run["count"] > 0 and run["error"] is None for run in runs] == [True, True]


# ---------------------------------------------------------------- operators


class Table:
    def __str__(self) -> str:
        return "bars of operators"

    def to_dict(self) -> dict[str, Any]:
        return {"sum_ms": 1.0}


def test_operators_are_timed_once_a_file(run, folder, monkeypatch):
    asked: list[dict[str, Any]] = []

    def per_op(content: bytes, **options: Any) -> Table:
        if not asked:
            asked.append(options)
            raise FileFormatError("no way to cut it")
        asked.append(options)
        return Table()

    def result(files: list[str], **_: object) -> BenchmarkResult:
        return result_of(*(timed(f, delegate=d) for d in ("xnnpack", "builtin") for f in files))

    monkeypatch.setattr("tfmpq.analysis.per_op.per_op", per_op)
    monkeypatch.setattr("tfmpq.commands.benchmark.benchmark", result)
    code, out, err = run("int8.tflite", "float.tflite", "--per_op", "--json=o.json", "--noprogress", "--seed=3")
    assert asked == [{"threads": 2, "delegate": "xnnpack", "seed": 3, "progress": False}] * 2
    assert "\nfloat.tflite (2 threads, xnnpack), operator by operator\nbars of operators\n" in out
    assert json.loads((folder / "o.json").read_text())["per_op"] == {"float.tflite": {"sum_ms": 1.0}}
    assert code == 1
    assert err == "tfmpq benchmark: file 'int8.tflite', operator by operator: no way to cut it\n"


def test_operators_of_a_real_file(run, folder):
    code, out, err = run("int8.tflite", *QUICK, "--per_op", "--json=o.json")
    assert code == 0, err
    assert "(1 thread, xnnpack), operator by operator\n" in out
    assert "CONV_2D" in out
    assert "int8.tflite" in json.loads((folder / "o.json").read_text())["per_op"]


def test_operators_that_fell_back_are_explained(run, folder, monkeypatch):
    (folder / "softmax.tflite").write_bytes(softmax_file(0.1))
    code, out, _ = run("softmax.tflite", *QUICK, "--threads=1,2")
    assert code == 0
    assert out.count("softmax.tflite: what XNNPACK left to the built-in kernels\n") == 1
    assert "SOFTMAX" in out
    code, out, _ = run("softmax.tflite", *QUICK, "--nocoverage")
    assert (code, "SOFTMAX" in out) == (0, False)
    code, out, _ = run("softmax.tflite", *QUICK, "--delegates=builtin")  # nothing fell back there
    assert (code, "SOFTMAX" in out) == (0, False)

    def refuse(_: bytes) -> None:
        raise FileFormatError("beyond words")

    monkeypatch.setattr("tfmpq.analysis.coverage.explain", refuse)
    code, out, err = run("softmax.tflite", *QUICK)
    assert code == 1
    assert "\nsoftmax.tflite " in out
    assert err.endswith("tfmpq benchmark: file 'softmax.tflite', delegate coverage: beyond words\n")
