"""The process that others are forked from, with NumPy and the runtime loaded: a fork takes 10 ms, a Python 300 ms.

``python -m converters.runtime.fork_server`` reads requests, a line of JSON each, and answers each with the exit status
of the fork that ran it. It ends with its input. It runs nothing itself, so that every fork starts from the same state;
its other end is :mod:`converters.runtime.forks`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO

from converters.runtime.interpreter import RUNTIMES


@dataclass(frozen=True)
class Request:
    """A script to run.

    Attributes:
        script: Python.
        arguments: what it finds in ``sys.argv[1:]``.
        out, errors: paths of the files that it prints to.
        seconds: how long it may take.
    """

    script: str
    arguments: Sequence[str]
    out: str
    errors: str
    seconds: float

    def line(self) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    """Serves the process that started this one and ends with it."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing but answers goes there
    _load_runtime()
    for line in iter(requests.readline, b""):
        answers.write(json.dumps(_serve(Request(**json.loads(line)), answers)).encode() + b"\n")
        answers.flush()


def _load_runtime() -> None:
    """Imports the interpreter that forks will use, unless it is TensorFlow's, which starts threads."""
    for _, module in RUNTIMES[:-1]:
        with contextlib.suppress(ImportError, AttributeError):
            importlib.import_module(module)
            return


def _serve(request: Request, answers: IO[bytes]) -> int | None:
    """Exit status of a fork that ran the script, negative for a signal; None if it took too long."""
    pid = os.fork()
    if pid == 0:
        os.close(answers.fileno())  # whoever waits for this process's parent sees its end
        os._exit(_run(request))
    late = threading.Event()

    def give_up() -> None:
        late.set()
        os.kill(pid, signal.SIGKILL)

    watch = threading.Timer(request.seconds, give_up)
    watch.start()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # its number stays its own until the watch is over
    watch.cancel()
    watch.join()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if late.is_set() and status == -signal.SIGKILL else status


def _run(request: Request) -> int:
    """Runs the script as ``python -c`` would."""
    with open(os.devnull, "rb") as nothing, open(request.out, "wb") as out, open(request.errors, "wb") as errors:
        for number, file in enumerate((nothing, out, errors)):
            os.dup2(file.fileno(), number)
    sys.argv = ["-c", *request.arguments]
    scope: dict[str, object] = {"__name__": "__main__"}
    try:
        exec(request.script, scope)
        scope.clear()  # what ends with the script ends here
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


if __name__ == "__main__":
    main()
