"""Running a file in a process of its own, for kernels that abort the process instead of reporting an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.runtime.interpreter import Kernels

_TIMEOUT = 600  # seconds for all kernels; the reference ones take a few on a mobile network
# What every script finds: the file's path and the feeds.
_HEAD = """
import json, sys
import numpy as np
model, names, arrays, *rest = sys.argv[1:]
values = np.load(arrays)
feeds = {n: values[f"a{i}"] for i, n in enumerate(json.loads(names))}
"""
_SCRIPT = """
from converters.runtime.interpreter import make_interpreter, run
from converters.errors import ConversionError
for name in rest:
    print(json.dumps([name, "starts"]), flush=True)
    try:
        run(make_interpreter(model, kernels=name), feeds)
        reason = None
    except ConversionError as error:
        # What stands before is the file, whose path is of no interest, and what follows is advice.
        reason = str(error).replace(f"file '{model}': ", "").partition(". ")[0]
    print(json.dumps([name, reason]), flush=True)
"""


@dataclass(frozen=True)
class Refusal:
    """Why a file does not run with some kernels.

    Attributes:
        reason: for a message.
        died: whether the process ended by itself, as opposed to an error that is reported and to a run without end.
    """

    reason: str
    died: bool


def refusals(content: bytes, feeds: Mapping[str, np.ndarray], kernels: Sequence[Kernels]) -> dict[Kernels, Refusal]:
    """Loads and runs a file once with each of ``kernels``, all in one child process as long as that lives.

    Args:
        content: .tflite bytes.
        feeds: input name -> array, as for :func:`converters.runtime.interpreter.run`.
        kernels: which kernels.

    Returns:
        Why it does not run, for the kernels with which it does not. Nothing where no child can be had (a Python that
        cannot start itself again).
    """
    found: dict[Kernels, Refusal] = {}
    left: list[Kernels] = list(kernels)
    while left:
        child = run_child(_SCRIPT, content, feeds, left)
        if not child.lines and child.failed:
            break
        ended = {name: reason for name, reason in map(json.loads, child.lines) if reason != "starts"}
        found.update({name: Refusal(ended[name], False) for name in left if ended.get(name) is not None})
        left = [name for name in left if name not in ended]
        if left:  # the child ended at the first of them
            found[left[0]] = Refusal(child.ending.format(what=f"the {left[0]} kernels end"), not child.endless)
            del left[0]
    return found


def refusal(content: bytes, feeds: Mapping[str, np.ndarray], kernels: Kernels) -> str | None:
    """Why a file does not run with ``kernels``, or None if it does."""
    found = refusals(content, feeds, [kernels]).get(kernels)
    return None if found is None else found.reason


@dataclass(frozen=True)
class Child:
    """What a child process left behind.

    Attributes:
        lines: the whole lines that it printed.
        ending: how it ended, with ``{what}`` for the words "... end(s)".
        failed: whether Python itself gave up, with an error.
        endless: whether it was stopped, as it took too long.
    """

    lines: list[str]
    ending: str
    failed: bool = False
    endless: bool = False


def run_child(script: str, content: bytes, feeds: Mapping[str, np.ndarray], arguments: Sequence[str]) -> Child:
    """Runs a Python script that imports these same packages.

    Args:
        script: finds the path of a file of ``content`` as ``model``, the ``feeds``, and the ``arguments`` as ``rest``.
        content, feeds, arguments: for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        model, arrays = Path(folder, "model.tflite"), Path(folder, "feeds.npz")
        model.write_bytes(content)
        numbered: dict[str, Any] = {f"a{i}": array for i, array in enumerate(feeds.values())}
        np.savez(arrays, **numbered)
        known = [str(model), json.dumps(list(feeds)), str(arrays)]
        command = [sys.executable, "-c", _HEAD + script, *known, *arguments]
        try:
            child = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            printed = error.stdout or b""
            text = printed.decode(errors="replace") if isinstance(printed, bytes) else printed
            return Child(_whole_lines(text), f"no result after {_TIMEOUT} seconds", endless=True)
        except OSError:
            return Child([], "", failed=True)
    ending = f"{{what}} the process ({_status(child.returncode)})"
    return Child(_whole_lines(child.stdout), ending, failed=child.returncode > 0)


def _whole_lines(text: str) -> list[str]:
    return text.split("\n")[:-1]


def _status(code: int) -> str:
    if code < 0 and -code in signal.valid_signals():
        return signal.Signals(-code).name
    return f"exit status {code}"


def child_environment() -> dict[str, str]:
    """Environment of a Python process that imports these same packages, installed or not."""
    root = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    # The working directory is the user's: a file there may be called as a module that is needed (Python 3.11 or later).
    return {**os.environ, "PYTHONPATH": search, "PYTHONSAFEPATH": "1"}
