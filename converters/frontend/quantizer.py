"""TensorFlow's calibrator and quantizer in a process of their own: some models end it, or never come to an end."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import TypeVar

import numpy as np

from converters.frontend.quantizer_worker import Message, file_message
from converters.frontend.tf_parts import Calibration, full_parts
from converters.native_logs import is_chatter, quiet, show
from converters.runtime.limits import limits_for
from converters.runtime.process_pool import ProcessPool
from converters.runtime.sessions import OwnProcess, child_environment, end_session, status_name

Result = TypeVar("Result")

_COMMAND = (sys.executable, "-m", "converters.frontend.quantizer_worker")


class QuantizerError(Exception):
    """TensorFlow cannot do it.

    Attributes:
        died: whether the process ended over it.
        said: MLIR's own errors, which exceptions do not carry.
    """

    def __init__(self, reason: str, *, died: bool = False, said: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.died = died
        self.said = said


class QuantizerMissingError(Exception):
    """This TensorFlow has no calibrator or quantizer of flatbuffers."""


class Quantizer:
    """A process that works on one file at a time; from :func:`quantizer`."""

    def __init__(self) -> None:
        """Starts it.

        Raises:
            OSError: It cannot be started.
            QuantizerMissingError: It finds nothing to work with.
        """
        self._limits = limits_for(0)
        self._late = False
        with contextlib.ExitStack() as opened:
            # The name goes once both have the file open (not on Windows): nothing stays, whatever ends this process.
            with (
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
                Path(folder, "said").open("wb") as notes,
            ):
                self._said = opened.enter_context(Path(folder, "said").open("rb"))
                process = subprocess.Popen(
                    _COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=notes,
                    env=child_environment(),
                    start_new_session=True,
                )
            self._own = OwnProcess(process)
            opened.callback(self._own.close)
            try:
                self._impose()
            except QuantizerError as error:
                raise OSError(str(error)) from error
            self._open = opened.pop_all()

    def _impose(self) -> None:
        self._ask(Message("limits", json.dumps(astuple(self._limits))))

    def begin(self, content: bytes, sample_bytes: int) -> None:
        """Takes a float file that is to be run on samples of ``sample_bytes``."""
        self._limits = limits_for(len(content) + sample_bytes)
        self._impose()
        self._ask(file_message("begin", content))

    def add(self, arrays: Sequence[np.ndarray]) -> None:
        """Runs it on a sample: an array for each input, in the graph's order."""
        self._ask(Message("add", arrays=arrays))

    def finish(self) -> bytes:
        """The file with the ranges that were seen in it."""
        return self._ask(Message("finish")).arrays[0].tobytes()

    def quantize(self, calibrated: bytes, io_dtype: str) -> bytes:
        """The int8 file."""
        return self._ask(file_message("quantize", calibrated, io_dtype)).arrays[0].tobytes()

    def _ask(self, message: Message) -> Message:
        """Sends a message and waits for the answer.

        Raises:
            QuantizerMissingError: There is none.
            QuantizerError: TensorFlow refuses, or its process ends or takes too long.
        """
        watch = threading.Timer(self._limits.seconds, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died; there is no answer
                message.write(self._own.requests)
            answer = Message.read(self._own.answers)
        finally:
            watch.cancel()
        lines = self._said.readlines()
        said = show(lines, 2, failed=answer is None or answer.what != "done")
        if answer is None:
            raise QuantizerError(self._death(lines), died=not self._late, said=said)
        if answer.what == "missing":
            raise QuantizerMissingError(answer.text)
        if answer.what == "failed":
            raise QuantizerError(answer.text, said=said)
        return answer

    def _give_up(self) -> None:
        self._late = True
        end_session(self._own.process)

    def _death(self, lines: Sequence[bytes]) -> str:
        code = self._own.process.wait()
        if self._late:
            return f"no result after {self._limits.seconds:.0f} seconds"
        words = [line.decode(errors="replace").strip() for line in lines if line.strip() and not is_chatter(line)]
        return f"the process ends ({status_name(code)})" + "".join(f": {said}" for said in words[-1:])

    def close(self) -> None:
        """Ends it."""
        self._open.close()

    @property
    def usable(self) -> bool:
        """Whether it is this process's own and lives."""
        return self._own.usable


class InProcess:
    """The same in this process, where no other can be had."""

    def __init__(self) -> None:
        try:
            self._parts = full_parts()
        except ImportError as error:
            raise QuantizerMissingError(str(error)) from error
        self._calibration: Calibration | None = None

    def begin(self, content: bytes, sample_bytes: int) -> None:
        """As :meth:`Quantizer.begin`."""
        self._calibration = _explained(lambda: Calibration(self._parts, content))

    def add(self, arrays: Sequence[np.ndarray]) -> None:
        """As :meth:`Quantizer.add`."""
        assert self._calibration is not None
        _explained(functools.partial(self._calibration.add, arrays))

    def finish(self) -> bytes:
        """As :meth:`Quantizer.finish`."""
        assert self._calibration is not None
        return _explained(self._calibration.finish)

    def quantize(self, calibrated: bytes, io_dtype: str) -> bytes:
        """As :meth:`Quantizer.quantize`."""
        return _explained(lambda: self._parts.quantize(calibrated, io_dtype))


def _explained(work: Callable[[], Result]) -> Result:
    said: list[str] = []
    try:
        with quiet() as said:
            return work()
    except Exception as error:  # native code raises whatever it meets
        raise QuantizerError(f"{type(error).__name__}: {error}", said=said) from error


_processes = ProcessPool(Quantizer)


@contextlib.contextmanager
def quantizer() -> Iterator[Quantizer | InProcess]:
    """What quantizes: a process, if possible one that has done so before; this one where none can be started.

    Raises:
        QuantizerMissingError: This TensorFlow cannot.
    """
    with contextlib.ExitStack() as taken:
        try:
            found: Quantizer | InProcess = taken.enter_context(_processes.take())
        except OSError:
            found = InProcess()
        yield found
