"""Running files in a runtime: a process of its own, begun again behind a file that kills it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.compat.environments import Home, last_line
from tools.compat.runtimes import Runtime

_SECONDS = 900  # for all files: several times what the slowest runtime takes on a busy machine


@dataclass(frozen=True)
class Job:
    """A file to run.

    Attributes:
        name: of it.
        model, stock, inputs: paths of the file, of stock's, and of the inputs' bytes.
        samples: how many inputs there are.
    """

    name: str
    model: Path
    stock: Path
    inputs: Path
    samples: int


@dataclass(frozen=True, eq=False)
class Answer:
    """What a runtime made of a file.

    Attributes:
        output: all outputs in one; None where it refused.
        refused: why; empty where it did not.
        ratio: its time relative to stock's in the same process; None where it was not taken.
    """

    output: np.ndarray | None
    refused: str = ""
    ratio: float | None = None


@dataclass(frozen=True)
class Answers:
    """All that a runtime said: its version, and an answer for each file by name."""

    version: str
    answers: dict[str, Answer]


def ask(runtime: Runtime, home: Home, jobs: Sequence[Job], rounds: int, *, seconds: float = _SECONDS) -> Answers:
    """Runs files in a runtime.

    Args:
        runtime: which one.
        home: where it is installed.
        jobs: the files.
        rounds: of timing.
        seconds: after so many without an end, the file at work is taken to hang.
    """
    version, answers, rest = "", dict[str, Answer](), list(jobs)
    while rest:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            fault = _run(runtime, home, rest, rounds, folder, seconds)
            lines = _lines(folder / "results.jsonl")
        version = next((line["runtime"] for line in lines if "runtime" in line), version)
        for line in lines:
            if "done" in line:
                answers[line["done"]] = _answer(line)
        begun = [line["begun"] for line in lines if "begun" in line]
        if begun and begun[-1] not in answers:
            answers[begun[-1]] = Answer(None, fault)
        elif not begun:  # it cannot even start
            answers |= {job.name: Answer(None, fault or "the worker wrote nothing") for job in rest}
        rest = [job for job in rest if job.name not in answers]
    return Answers(version, answers)


def _run(runtime: Runtime, home: Home, jobs: Sequence[Job], rounds: int, folder: Path, seconds: float) -> str:
    """One process; answers how it died, or nothing."""
    path, results = folder / "jobs.json", folder / "results.jsonl"
    listed = [{key: str(v) if isinstance(v, Path) else v for key, v in vars(job).items()} for job in jobs]
    given = {"kernels": runtime.kernels, "rounds": rounds if runtime.timed else 0, "jobs": listed}
    path.write_text(json.dumps(given))
    command = [*home.command, runtime.backend, str(path), str(results), *home.last]
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # in no other environment
    environment = {**own, **home.variables, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return f"no end within {seconds:g} s"
    if done.returncode < 0:
        return f"the process died of {signal.Signals(-done.returncode).name}"
    return f"the process ended with status {done.returncode}: {last_line(done.stderr)}" if done.returncode else ""


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of the results."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _answer(line: dict[str, Any]) -> Answer:
    if "refused" in line:
        return Answer(None, line["refused"])
    output = np.frombuffer(bytes.fromhex(line["output"]), line["dtype"])
    return Answer(output, ratio=line.get("ratio"))
