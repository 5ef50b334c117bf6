"""Short-lived processes, forked from one that has loaded what they need."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

from converters.runtime.fork_server import Request
from converters.runtime.process_pool import ProcessPool
from converters.runtime.sessions import OwnProcess, child_environment


class NoForksError(Exception):
    """There is no process to fork from, or it has ended."""


class ForkServer:
    """A process that runs a script at a time in a fork of itself."""

    def __init__(self) -> None:
        """Starts it.

        Raises:
            NoForksError: It cannot be started, or forks are not safe on this system.
        """
        if sys.platform != "linux":  # elsewhere system libraries do not bear it, or there is none
            raise NoForksError(sys.platform)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "converters.runtime.fork_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**child_environment(), "OPENBLAS_NUM_THREADS": "1"},  # forks want a process without threads
                start_new_session=True,  # it does not get the terminal's Ctrl-C; who waits for it does, and ends it
            )
        except OSError as error:
            raise NoForksError(str(error)) from error
        self._own = OwnProcess(process)

    def run(self, request: Request) -> int | None:
        """Exit status of the script, negative for a signal; None if it took too long.

        Raises:
            NoForksError: The process that is forked from has ended.
        """
        with contextlib.suppress(BrokenPipeError):  # then there is no answer
            self._own.requests.write(request.line())
            self._own.requests.flush()
        answer = self._own.answers.readline()
        if not answer.endswith(b"\n"):
            raise NoForksError("it has ended")
        return json.loads(answer)

    def close(self) -> None:
        """Ends it, and what was forked from it."""
        self._own.close()

    @property
    def usable(self) -> bool:
        """Whether it is this process's own and lives."""
        return self._own.usable


_servers = ProcessPool(ForkServer)


def run_forked(request: Request) -> int | None:
    """Runs a script in a process of its own, see :meth:`ForkServer.run`.

    Raises:
        NoForksError: None can be forked here.
    """
    with _servers.take() as server:
        return server.run(request)
