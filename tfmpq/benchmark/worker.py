"""The process that runs one file with one configuration: ``python -m tfmpq.benchmark.worker``.

It talks in JSON, a line a message. The first line it reads is the job (:class:`Job`); it answers what it found out
while it got ready (:class:`Ready`). Every further line asks for a round, ``{"runs": n, "seconds": s}``, and is answered
with the times in nanoseconds and the most memory used so far. It ends when its input does. A problem is answered with
``{"error": "one line"}``; what the runtime prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from converters.errors import ConversionError
from converters.runtime import interpreter as runtime
from converters.runtime.content import read_content
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import Delegate
from converters.runtime.limits import limits_for
from tfmpq.benchmark.inputs import given_inputs, random_inputs
from tfmpq.files import read_npz


@dataclass(frozen=True)
class Job:
    """What a worker runs.

    Attributes:
        path: the .tflite file.
        threads: CPU threads.
        delegate: XNNPACK, or the built-in kernels without a delegate.
        inputs: .npz with the inputs; None: random ones.
        seed: seed of random inputs.
        warmup: inferences that are not timed, after the first one, which is.
        loaded: the file that is loaded in its place, see :mod:`tfmpq.benchmark.entry_files`; None: itself.
    """

    path: str
    threads: int
    delegate: Delegate
    inputs: str | None
    seed: int
    warmup: int
    loaded: str | None = None


@dataclass(frozen=True)
class Ready:
    """What a worker reports before the first round.

    Attributes:
        runtime: interpreter and version.
        init_ms: from the file's content in memory to allocated tensors with the delegate applied.
        first_ms: the first inference.
        output_sha256: of the raw bytes of all outputs in graph order, after the first inference.
        delegated_ops: operators that the delegate runs.
        ops: operators of the file.
        partitions: pieces the delegate runs them in.
        shapes: input name -> shape as run, in graph order.
        raw: quantized inputs whose arrays have the input's own type, so are passed on as they are.
    """

    runtime: str
    init_ms: float
    first_ms: float
    output_sha256: str
    delegated_ops: int
    ops: int
    partitions: int
    shapes: dict[str, list[int]]
    raw: list[str]


def prepare(job: Job) -> tuple[Any, Ready]:
    """A warmed-up interpreter with its inputs set, and what getting there has shown.

    Raises:
        DataError: The inputs do not fit the model.
        FileFormatError: The file is missing or corrupt, or the runtime refuses it.
    """
    content, label = read_content(job.path if job.loaded is None else job.loaded)
    if job.loaded is not None:
        label = f"file '{job.path}'"
    runtime.check_content(content, label)
    runtime_name = runtime.runtime_name()  # imports it, which is not to be timed
    start = time.perf_counter_ns()
    interpreter = runtime.create_interpreter(content, label, kernels=job.delegate, threads=job.threads)
    init = time.perf_counter_ns() - start
    details = runtime.inputs(interpreter)
    feeds = random_inputs(details, job.seed) if job.inputs is None else given_inputs(read_npz(job.inputs), details)
    runtime.set_inputs(interpreter, feeds)
    coverage = delegate_coverage(interpreter)
    start = time.perf_counter_ns()
    runtime.invoke(interpreter)
    first = time.perf_counter_ns() - start
    digest = hashlib.sha256(b"".join(output.tobytes() for output in runtime.raw_outputs(interpreter)))
    for _ in range(job.warmup):
        runtime.invoke(interpreter)
    return interpreter, Ready(
        runtime=runtime_name,
        init_ms=init / 1e6,
        first_ms=first / 1e6,
        output_sha256=digest.hexdigest(),
        delegated_ops=coverage.delegated_ops,
        ops=coverage.total_ops,
        partitions=coverage.partitions,
        shapes={name: list(array.shape) for name, array in feeds.items()},
        raw=[detail.name for detail in details if detail.scale and feeds[detail.name].dtype == detail.dtype],
    )


def run_round(
    invoke: Callable[[], None], runs: int, seconds: float, clock: Callable[[], int] = time.perf_counter_ns
) -> list[int]:
    """Times of single inferences in nanoseconds: at least ``runs`` of them, and as many as begin within ``seconds``.

    One that is not timed goes first: another process has had the caches since the last round.
    """
    invoke()
    times: list[int] = []
    start = begin = clock()
    while len(times) < runs or begin - start < seconds * 1e9:
        begin = clock()
        invoke()
        times.append(clock() - begin)
    return times


def peak_rss_mb() -> float | None:
    """Most memory this process has had resident, in MB (10^6 bytes): Python, NumPy and the runtime included.

    None where the system does not tell.
    """
    try:  # Linux. getrusage counts the parent's memory too, from before this program was started.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, other systems kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def serve(lines: Callable[[], str], answer: Callable[[dict[str, Any]], None]) -> None:
    """Does a worker's work; returns after a problem or never, since the program ends with its input.

    Args:
        lines: waits for the next message.
        answer: sends one.
    """
    job = Job(**json.loads(lines()))
    try:
        interpreter, ready = prepare(job)
        answer(dataclasses.asdict(ready))
        gc.collect()
        gc.disable()  # nothing is left behind between inferences
        while True:
            wanted = json.loads(lines())
            times = run_round(interpreter.invoke, wanted["runs"], wanted["seconds"])
            answer({"times_ns": times, "peak_rss_mb": peak_rss_mb()})
    except (ConversionError, RuntimeError, ValueError, MemoryError) as error:
        answer({"error": " ".join(str(error).split()) or type(error).__name__})
    finally:
        gc.enable()


def main() -> None:
    """Serves the process that started this one and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C here too; whoever started this ends it
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a runtime prints must not get between the answers
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, waiting), daemon=True).start()
    job = waiting.get()
    with contextlib.suppress(OSError):  # no such file, as is said later
        limits_for(os.path.getsize(json.loads(job)["path"])).impose_memory()
    waiting.put(job)

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    serve(waiting.get, answer)
    os._exit(0)  # the thread is still reading: an orderly shutdown would stumble over it


def _read(stream: TextIO, waiting: queue.SimpleQueue[str]) -> None:
    """Passes lines on; ends the process, even within an inference, when there can be no more."""
    for line in stream:
        waiting.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
