"""The process that mutants run in: forked once everything is imported, with limits, for as long as it lives."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.lines import LINES, MUTANT, Line, prepare_folder
from tests.fuzz.mutate import Mutant, build
from tests.fuzz.outcomes import Outcome, judge
from tests.fuzz.seeds import Seeds

ROOT = Path(__file__).resolve().parents[2]
_OWN = tuple(str(ROOT / package) + os.sep for package in ("tfmpq", "converters"))
_SPARE = 4 * 2**30  # bytes of address space for data beside what the process has: what is above fails at once


@dataclass(frozen=True)
class Task:
    """A mutant, or a file as it is, and the name of the command line it goes through."""

    line: str
    mutant: Mutant
    content: bytes | None = None
    traced: bool = False


def serve(connection: Connection, folder: Path, seeds: Seeds) -> None:
    """Answers tasks with outcomes until the connection ends."""
    os.chdir(folder)
    _limit_memory()
    out, err = (os.open(folder.parent / f"{folder.name}.{name}", os.O_RDWR | os.O_CREAT) for name in ("out", "err"))
    os.dup2(out, 1)
    os.dup2(err, 2)
    faulthandler.enable(err, all_threads=False)
    seen: set[int] = set()
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        content = build(task.mutant, seeds.files) if task.content is None else task.content
        prepare_folder(folder)
        (folder / MUTANT).write_bytes(content)
        for descriptor in (out, err):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        connection.send(_run(task, folder, LINES[task.line].arguments(seeds, task.mutant.base), (out, err), seen))


def _limit_memory() -> None:
    used = int(_status("VmData")) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + _SPARE, used + _SPARE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(task: Task, folder: Path, arguments: list[str], streams: tuple[int, int], seen: set[int]) -> Outcome:
    from tfmpq import cli

    line = LINES[task.line]
    before = _reset_peak()
    start = time.perf_counter()
    found: set[int] = set()
    try:
        with _traced(found) if task.traced else contextlib.nullcontext():
            code = cli.run(arguments)
        sys.stdout.flush()
    except MemoryError as error:
        outcome = Outcome("blow-up", "MemoryError", _place(error))
    except BaseException as error:
        outcome = Outcome("traceback", f"{type(error).__name__}: {error}"[:300], _place(error))
    else:
        texts = [os.pread(stream, 1 << 24, 0).decode("utf-8", errors="replace") for stream in streams]
        files = _files(folder, line)
        if code and line.reports:
            files = {name: problem or "missing" for name, problem in files.items()}  # whole or not there
        outcome = judge(code, texts[0], texts[1], files)
    seconds, megabytes = time.perf_counter() - start, (_peak() - before) / 1024
    if megabytes > line.megabytes:
        outcome = Outcome("blow-up", f"{megabytes:.0f} MB; {outcome.kind} {outcome.message}")
    new = frozenset(found - seen)
    seen |= new
    return replace(outcome, seconds=seconds, megabytes=megabytes, lines=new)


def _files(folder: Path, line: Line) -> dict[str, str | None]:
    """What is wrong with each file that is there or should be."""
    result: dict[str, str | None] = {}
    for name, read in line.outputs.items():
        if not (folder / name).is_file():
            result[name] = "missing"
            continue
        try:
            read((folder / name).read_bytes())
        except Exception as error:
            result[name] = f"cannot be read: {error}"
        else:
            result[name] = None
    for path in folder.iterdir():
        if path.name not in (*line.outputs, MUTANT):
            result[path.name] = "left behind"
    return result


def _place(error: BaseException) -> str:
    """Type and innermost place of the project's own code that an exception went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(_OWN)]
    inner = frames[-1] if frames else None
    where = f"{os.path.relpath(inner.filename, ROOT)}:{inner.lineno} {inner.name}" if inner else "outside"
    return f"{type(error).__name__} {where}"


# ---------------------------------------------------------------- memory


def _status(field: str) -> str:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(field + ":"):
                return line.split()[1]
    return "0"


def _reset_peak() -> int:
    """Kilobytes in use; the peak counts from here."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return int(_status("VmRSS"))


def _peak() -> int:
    """Kilobytes at most, of this process or a child of it (beside what a child shares with it)."""
    return int(_status("VmHWM") or 0)


# ---------------------------------------------------------------- lines of code


@contextlib.contextmanager
def _traced(found: set[int]) -> Iterator[None]:
    """Collects a number for every line of the project's own code that runs."""

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            found.add(hash((frame.f_code.co_filename, frame.f_lineno)) & 0x7FFFFFFF)
        return local

    def entered(frame: FrameType, _event: str, _: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(_OWN) else None

    sys.settrace(entered)
    try:
        yield
    finally:
        sys.settrace(None)
