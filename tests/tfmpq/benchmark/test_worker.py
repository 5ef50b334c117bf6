"""The process that runs a file: its rounds, what it reports, how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import DataError, FileFormatError
from converters.runtime import interpreter as runtime
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.writer import save
from tfmpq.benchmark import worker as benchmark_worker
from tfmpq.benchmark.inputs import random_inputs
from tfmpq.benchmark.worker import Job, peak_rss_mb, prepare, run_round, serve


@pytest.fixture
def int8_file(tmp_path: Path, conv_net_int8: bytes) -> str:
    path = tmp_path / "int8.tflite"
    path.write_bytes(conv_net_int8)
    return str(path)


def job(path: str, **changes: Any) -> Job:
    return Job(**{"path": path, "threads": 1, "delegate": "xnnpack", "inputs": None, "seed": 0, "warmup": 2, **changes})


class Work:
    """Inferences of known length; the clock moves with them only."""

    def __init__(self, lengths: Iterator[int]) -> None:
        self.lengths, self.now, self.calls = lengths, 0, 0

    def __call__(self) -> None:
        self.calls += 1
        self.now += next(self.lengths)

    def clock(self) -> int:
        return self.now


def test_a_round_has_enough_runs_and_lasts_long_enough():
    short = Work(itertools.count(10))  # 10, 11, 12, ... ns
    assert run_round(short, 3, 0.0, short.clock) == [11, 12, 13]  # the first is not timed
    assert short.calls == 4
    long = Work(itertools.repeat(400_000))
    assert run_round(long, 1, 0.001, long.clock) == [400_000] * 4  # the fourth begins before 1 ms has passed
    assert long.calls == 5


@pytest.mark.parametrize("delegate", ["xnnpack", "builtin"])
def test_what_getting_ready_reports(int8_file: str, conv_net_int8: bytes, delegate: runtime.Delegate):
    interpreter, ready = prepare(job(int8_file, delegate=delegate, seed=3))
    twin = runtime.make_interpreter(conv_net_int8, kernels=delegate)
    outputs = runtime.run(twin, random_inputs(runtime.inputs(twin), 3))
    assert ready.output_sha256 == hashlib.sha256(outputs[0].tobytes()).hexdigest()
    assert ready.runtime == runtime.runtime_name()
    assert (ready.delegated_ops, ready.ops, ready.partitions) == ((5, 5, 1) if delegate == "xnnpack" else (0, 5, 0))
    assert ready.shapes == {"image": [1, 8, 8, 3]}
    assert ready.init_ms > 0
    assert ready.first_ms > 0
    np.testing.assert_array_equal(runtime.raw_outputs(interpreter)[0], outputs[0])


def test_given_inputs_are_fed(int8_file: str, conv_net_int8: bytes, images: np.ndarray, tmp_path: Path):
    np.savez(tmp_path / "real.npz", image=images[:1])
    _, ready = prepare(job(int8_file, inputs=str(tmp_path / "real.npz")))
    (output,) = runtime.run(runtime.make_interpreter(conv_net_int8), {"image": images[:1]})
    assert ready.output_sha256 == hashlib.sha256(output.tobytes()).hexdigest()
    assert ready.raw == []
    np.savez(tmp_path / "raw.npz", image=np.zeros((1, 8, 8, 3), np.int8))
    assert prepare(job(int8_file, inputs=str(tmp_path / "raw.npz")))[1].raw == ["image"]
    np.savez(tmp_path / "wrong.npz", image=images)
    with pytest.raises(DataError, match=r"shape \(64, 8, 8, 3\), but the model takes \(1, 8, 8, 3\)"):
        prepare(job(int8_file, inputs=str(tmp_path / "wrong.npz")))


def test_files_that_cannot_be_run(tmp_path: Path, conv_net_int8: bytes):
    with pytest.raises(FileFormatError, match="cannot be read"):
        prepare(job(str(tmp_path / "absent.tflite")))
    (tmp_path / "half.tflite").write_bytes(conv_net_int8[: len(conv_net_int8) // 2])
    with pytest.raises(FileFormatError, match=r"half\.tflite"):
        prepare(job(str(tmp_path / "half.tflite")))


def test_a_model_the_runtime_refuses(tmp_path: Path):
    a, b, total = (Tensor(name, (1, n), TensorType.FLOAT32) for name, n in (("a", 3), ("b", 4), ("sum", 4)))
    path = tmp_path / "odd.tflite"
    path.write_bytes(save(Model([Graph([a, b], [total], [Op(BuiltinOperator.ADD, [a, b], [total])])], [], {})))
    with pytest.raises(FileFormatError, match=r"odd\.tflite': .* refuses to run it with builtin kernels"):
        prepare(job(str(path), delegate="builtin"))


def test_neither_tensorflow_nor_the_schema_is_needed(run_python: Callable[..., Any], int8_file: str):
    code = """
    import tfmpq.benchmark.run
    from tfmpq.benchmark.worker import Job, prepare
    print(prepare(Job(sys.argv[1], 1, "xnnpack", None, 0, 0))[1].ops)
    """
    result = run_python(code, int8_file, blocked=("tensorflow", "keras", "flatbuffers"))
    assert result.stdout == "5\n", result.stderr


def talk(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What a worker answers; asking for more than the messages ends it, as the end of its input does."""
    answers: list[dict[str, Any]] = []
    waiting = iter([json.dumps(message) for message in messages])
    with contextlib.suppress(StopIteration):
        serve(waiting.__next__, answers.append)
    return json.loads(json.dumps(answers))


def test_the_conversation(int8_file: str):
    asked = {"runs": 4, "seconds": 0.0}
    ready, first, second = talk(vars(job(int8_file)), asked, {**asked, "runs": 2})
    assert ready["ops"] == 5
    assert [len(first["times_ns"]), len(second["times_ns"])] == [4, 2]
    assert all(time > 0 for time in first["times_ns"])


def test_a_problem_is_an_answer(tmp_path: Path):
    (answer,) = talk(vars(job(str(tmp_path / "absent.tflite"))))
    assert "absent.tflite' cannot be read" in answer["error"]
    assert "\n" not in answer["error"]


def test_peak_memory_is_that_of_this_process():
    before = peak_rss_mb()
    if before is None:
        pytest.skip("the system does not tell")
    assert 10 < before < 100_000  # MB: Python and NumPy take more, and no test takes that much
    block = np.ones(1 << 26, np.uint8)  # freed below; the peak stays
    after = peak_rss_mb()
    del block
    assert after is not None
    assert after >= before
    assert peak_rss_mb() == pytest.approx(after, rel=0.2)


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("linux", 1024)])
def test_units_of_getrusage(monkeypatch: pytest.MonkeyPatch, platform: str, unit: int):
    import resource

    class Usage:
        ru_maxrss = 3_000_000

    def no_proc(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(benchmark_worker.Path, "read_text", no_proc)
    monkeypatch.setattr(resource, "getrusage", lambda _: Usage)
    monkeypatch.setattr(sys, "platform", platform)
    assert peak_rss_mb() == 3 * unit
