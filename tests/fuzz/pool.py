"""Workers as their parent sees them: forked, asked, watched, ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.lines import LINES
from tests.fuzz.outcomes import Outcome
from tests.fuzz.seeds import Seeds
from tests.fuzz.worker import Task, serve

_TASKS_OF_A_LIFE = 2000  # native libraries leak
_HISTORY = 50
_ALSO_ASLEEP = (
    6  # times the processor time that a command may take: how long it may be under way, on a busy machine too
)
_RESIDENT = 6 * 2**30  # bytes of a worker and its children together: it is ended before the machine is full


@dataclass
class Worker:
    """One forked process and the task it is at."""

    folder: Path
    seeds: Seeds
    process: int = 0
    connection: Connection | None = None
    task: Task | None = None
    started: float = 0.0
    used: float = 0.0
    done: int = 0
    history: deque[Task] = field(default_factory=lambda: deque(maxlen=_HISTORY))

    def start(self, task: Task) -> None:
        """Gives it a task; a process is forked where there is none."""
        if self.connection is None or self.done >= _TASKS_OF_A_LIFE:
            self.end()
            self._fork()
        assert self.connection is not None
        self.task, self.started, self.used = task, time.monotonic(), _processor_time(self.process)
        self.connection.send(task)

    def outcome(self) -> Outcome | None:
        """What became of its task, None while it is at it."""
        assert self.connection is not None
        assert self.task is not None
        limit = LINES[self.task.line].seconds * (4 if self.task.traced else 1)
        if self.connection.poll():
            try:
                result: Outcome = self.connection.recv()
            except (EOFError, OSError):
                return self._ended(Outcome("death", self._cause()))
            self.history.append(self.task)
            self.task, self.done = None, self.done + 1
            return result
        working = _processor_time(self.process) - self.used
        if working > limit or time.monotonic() - self.started > _ALSO_ASLEEP * limit:
            return self._ended(Outcome("hang", f"no end after {working:.0f} s of work"))
        if _resident(self.process) > _RESIDENT:
            return self._ended(Outcome("blow-up", f"more than {_RESIDENT >> 20} MB"))
        return None

    def run(self, task: Task) -> Outcome:
        """The outcome of one task, waited for."""
        self.start(task)
        while True:
            assert self.connection is not None
            self.connection.poll(0.05)
            outcome = self.outcome()
            if outcome is not None:
                return outcome

    def end(self) -> None:
        """Ends the process and its children."""
        if self.connection is not None:
            self.connection.close()
            _kill(self.process)
            self.connection, self.process = None, 0

    def _ended(self, outcome: Outcome) -> Outcome:
        self.end()
        self.task = None
        return outcome

    def _cause(self) -> str:
        _, status = os.waitpid(self.process, 0)
        code = os.waitstatus_to_exitcode(status)
        words = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        errors = self.folder.parent / f"{self.folder.name}.err"
        lines = errors.read_text(errors="replace").splitlines() if errors.exists() else []
        frames = [line.strip() for line in lines if line.startswith('  File "') and "/tests/fuzz/" not in line]
        return f"{words}; {' / '.join(frames[:8] or lines[-3:])[:900]}"

    def _fork(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        mine, its = Pipe()
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            code = 1
            try:
                os.setsid()
                _end_with_parent()
                mine.close()
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                serve(its, self.folder, self.seeds)
                code = 0
            finally:
                os._exit(code)
        its.close()
        self.process, self.connection, self.done = process, mine, 0
        self.history.clear()


def _end_with_parent() -> None:
    """Where the system can do that, which Linux can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _kill(process: int) -> None:
    for number in _family(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, 0)


def _family(process: int) -> list[int]:
    """A process and its children, theirs included."""
    found = [process]
    for number in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{number}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def _processor_time(process: int) -> float:
    """Seconds that a process and its children have worked."""
    total = 0.0
    for number in _family(process):
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            # Its own, and of an ended child what it has waited for.
            total += sum(map(int, fields[11:15] if number == process else fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return total


def _resident(process: int) -> int:
    """Bytes in memory of a process and its children."""
    total = 0
    for number in _family(process):
        with contextlib.suppress(OSError, IndexError):
            total += int(Path(f"/proc/{number}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


Say = Callable[[str], None]
