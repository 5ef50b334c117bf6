"""The parent's end of a worker: starts the process, asks it, and knows what to say when it dies or hangs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import Any

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.sessions import child_environment
from tfmpq.benchmark.worker import Job, Ready

_COMMAND = (sys.executable, "-m", "tfmpq.benchmark.worker")
_GRACE = 5  # seconds a process whose pipe is closed has to end before it is killed
# What runtimes note on stderr about themselves.
_CHATTER = re.compile(r"(INFO|WARNING|VERBOSE)\b|[IW]\d{4} |WARNING: All log messages")


class Worker:
    """A process of :mod:`tfmpq.benchmark.worker`; a context manager that leaves no process behind."""

    def __init__(self, job: Job, *, timeout: float) -> None:
        """Starts the process.

        Args:
            job: what it runs.
            timeout: seconds to wait for an answer.

        Raises:
            OSError: It cannot be started.
        """
        self._timeout = timeout
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with contextlib.ExitStack() as stack:
            self._notes = stack.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._notes,
                text=True,
                encoding="utf-8",
                env=child_environment(),
            )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._requests, self._output = self._process.stdin, self._process.stdout
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
            stack.callback(self._end)
            self._say(dataclasses.asdict(job))
            self._resources = stack.pop_all()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def _end(self) -> None:
        with contextlib.suppress(OSError):  # it has died with a message in the pipe
            self._requests.close()  # it ends when it notices
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        finally:  # interrupted while waiting, too
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._reader.join()
            self._output.close()

    def ready(self) -> Ready:
        """Waits until the process is ready for the first round.

        Raises:
            FileFormatError: The file cannot be run; the process died or hangs.
        """
        return Ready(**self._answer())

    def run_round(self, runs: int, seconds: float) -> tuple[np.ndarray, float | None]:
        """Times of at least ``runs`` inferences and ``seconds``, in nanoseconds, and the peak memory so far, in MB.

        Raises:
            FileFormatError: The model failed, the process died or hangs.
        """
        self._say({"runs": runs, "seconds": seconds})
        answer = self._answer()
        return np.asarray(answer["times_ns"], np.int64), answer["peak_rss_mb"]

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it has died; the answer says how
            self._requests.write(json.dumps(message) + "\n")
            self._requests.flush()

    def _read(self) -> None:
        for line in self._output:
            self._answers.put(line)
        self._answers.put(None)

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=self._timeout)
        except queue.Empty:
            self._process.kill()
            raise FileFormatError(
                f"no answer after {self._timeout:g} seconds, so its process was ended: allow more with --timeout "
                "(timeout=) if the model is that slow"
            ) from None
        if line is None:
            raise FileFormatError(self._death())
        answer = json.loads(line)
        if "error" in answer:
            raise FileFormatError(answer["error"])
        return answer

    def _death(self) -> str:
        code = self._process.wait()
        if code >= 0:
            ending = f"exit status {code}"
        else:
            try:
                ending = f"signal {signal.Signals(-code).name}"
            except ValueError:  # a real-time signal
                ending = f"signal {-code}"
        self._notes.seek(0)
        lines = [line.strip() for line in self._notes.read().decode(errors="replace").splitlines()]
        said = [line for line in lines if line and not _CHATTER.match(line)]
        return f"the runtime ended the process ({ending})" + (f": {said[-1]}" if said else "")
