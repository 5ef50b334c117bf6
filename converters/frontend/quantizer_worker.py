"""The process that calibrates and quantizes files: ``python -m converters.frontend.quantizer_worker``.

It reads messages and answers each with one; the parent's end is in :mod:`converters.frontend.quantizer`. A message is
a line of JSON and the raw bytes of its arrays. It ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from converters.frontend.tf_parts import Calibration, Parts, full_parts, slim_parts
from converters.runtime.limits import Limits


@dataclass(frozen=True)
class Message:
    """A request or an answer.

    Attributes:
        what: "limits" (in ``text``), "begin" (a float file), "add" (a sample), "finish", "quantize" (a calibrated file,
            the type of inputs and outputs in ``text``); "done" (with the file, if any), "failed" and "missing" (why).
        text: one line.
        arrays: bytes travel as uint8.
    """

    what: str
    text: str = ""
    arrays: Sequence[np.ndarray] = ()

    def write(self, stream: IO[bytes]) -> None:
        """Sends it."""
        arrays = [np.ascontiguousarray(array) for array in self.arrays]
        head = [self.what, self.text, [[array.dtype.str, array.shape] for array in arrays]]
        stream.write(json.dumps(head).encode() + b"\n")
        for array in arrays:
            stream.write(array.tobytes())
        stream.flush()

    @classmethod
    def read(cls, stream: IO[bytes]) -> Message | None:
        """Waits for one; None where there can be no more."""
        line = stream.readline()
        if not line.endswith(b"\n"):
            return None
        what, text, known = json.loads(line)
        arrays = []
        for dtype, shape in known:
            content = stream.read(np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
            arrays.append(np.frombuffer(content, dtype).reshape(shape))
        return cls(what, text, arrays)


def file_message(what: str, content: bytes, text: str = "") -> Message:
    """A message with a file."""
    return Message(what, text, [np.frombuffer(content, np.uint8)])


class _Worker:
    """What a process has loaded, and the file it is at."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._calibration: Calibration | None = None

    def answer(self, message: Message) -> Message:
        if message.what == "limits":
            Limits(*json.loads(message.text)).impose()
        elif message.what == "begin":
            self._calibration = Calibration(self._parts, message.arrays[0].tobytes())
        elif message.what == "quantize":
            return file_message("done", self._parts.quantize(message.arrays[0].tobytes(), message.text))
        else:
            assert self._calibration is not None
            if message.what == "add":
                self._calibration.add(message.arrays)
            else:
                content, self._calibration = self._calibration.finish(), None
                return file_message("done", content)
        return Message("done")


def _parts() -> Parts:
    try:
        return slim_parts()
    except ImportError:
        return full_parts()


def main() -> None:
    """Serves the process that started this one and ends with it."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what TensorFlow prints must not get between the answers
    worker: _Worker | None = None
    while (message := Message.read(requests)) is not None:
        try:
            if worker is None:
                worker = _Worker(_parts())
            answer = worker.answer(message)
        except ImportError as error:
            answer = Message("missing", str(error))
        except Exception as error:  # native code raises whatever it meets
            answer = Message("failed", f"{type(error).__name__}: {error}")
        answer.write(answers)


if __name__ == "__main__":
    main()
