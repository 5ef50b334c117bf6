"""The parent's end of a worker: it knows when the process is ready, dead or hanging, and leaves none behind."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from converters.errors import FileFormatError
from tfmpq.benchmark import process as benchmark_process
from tfmpq.benchmark.process import Worker
from tfmpq.benchmark.worker import Job

TIMEOUT = 60.0  # never reached where something answers


@pytest.fixture
def job(tmp_path: Path, conv_net_int8: bytes) -> Job:
    path = tmp_path / "model.tflite"
    path.write_bytes(conv_net_int8)
    return Job(str(path), threads=1, delegate="xnnpack", inputs=None, seed=0, warmup=1)


def instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Starts this code for a worker."""
    monkeypatch.setattr(benchmark_process, "_COMMAND", (sys.executable, "-c", textwrap.dedent(code)))


def test_a_real_process_gets_ready_and_does_rounds(job: Job):
    with Worker(job, timeout=TIMEOUT) as worker:
        assert worker.ready().ops == 5
        for runs in (1, 3):
            times, peak = worker.run_round(runs, 0.0)
            assert len(times) == runs
            assert peak is None or peak > 1
    assert worker._process.returncode == 0  # ended by itself


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 always searches the working directory")
def test_modules_in_the_working_directory_do_no_harm(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "queue.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with Worker(job, timeout=TIMEOUT) as worker:
        assert worker.ready().ops == 5


def test_its_problem_is_ours(job: Job):
    os.truncate(job.path, 100)
    with Worker(job, timeout=TIMEOUT) as worker, pytest.raises(FileFormatError, match=r"model\.tflite"):
        worker.ready()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_process_that_crashes(job: Job, monkeypatch: pytest.MonkeyPatch):
    code = """
        import os, sys
        print("INFO: Created a delegate", file=sys.stderr)
        print("model.cc:42 Check failed", file=sys.stderr)
        print("INFO: more about it", file=sys.stderr, flush=True)
        os.abort()
    """
    instead(monkeypatch, code)
    with Worker(job, timeout=TIMEOUT) as worker:
        with pytest.raises(FileFormatError) as failure:
            worker.ready()
        assert str(failure.value) == "the runtime ended the process (signal SIGABRT): model.cc:42 Check failed"
    instead(monkeypatch, "import sys; sys.exit(7)")
    with Worker(job, timeout=TIMEOUT) as worker, pytest.raises(FileFormatError, match=r"\(exit status 7\)$"):
        worker.ready()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_process_that_dies_between_rounds(job: Job):
    with Worker(job, timeout=TIMEOUT) as worker:
        worker.ready()
        os.kill(worker._process.pid, signal.SIGSEGV)
        worker._process.wait()
        with pytest.raises(FileFormatError, match=r"\(signal SIGSEGV\)"):
            worker.run_round(1, 0.0)


def test_a_process_that_hangs_is_ended(job: Job, monkeypatch: pytest.MonkeyPatch):
    instead(monkeypatch, "import time; time.sleep(1000)")
    with Worker(job, timeout=0.2) as worker, pytest.raises(FileFormatError, match=r"no answer after 0\.2 seconds"):
        worker.ready()
    assert worker._process.returncode not in (None, 0)


def test_a_process_that_does_not_end_is_killed(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_process, "_GRACE", 0.1)
    instead(monkeypatch, "import time; time.sleep(1000)")
    with Worker(job, timeout=TIMEOUT) as worker:
        pass
    assert worker._process.returncode not in (None, 0)


def test_a_process_ends_with_its_input_even_while_it_works(job: Job):
    with Worker(job, timeout=TIMEOUT) as worker:
        worker.ready()
        worker._say({"runs": 1, "seconds": 1000.0})  # nobody waits for the answer, as after Ctrl-C
    assert worker._process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ctrl_c_is_the_parents_business(job: Job):
    with Worker(job, timeout=TIMEOUT) as worker:
        worker.ready()
        os.kill(worker._process.pid, signal.SIGINT)
        assert len(worker.run_round(2, 0.0)[0]) == 2
