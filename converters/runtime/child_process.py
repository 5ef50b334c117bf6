"""Running a file in a process of its own, for kernels that abort the process instead of reporting an error."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.runtime.fork_server import Request
from converters.runtime.forks import NoForksError, run_forked
from converters.runtime.interpreter import Kernels
from converters.runtime.limits import limits_for
from converters.runtime.sessions import child_environment, end_session, status_name

# What every script finds: the file's path and the feeds. Limits come first, as reading the feeds takes memory too.
_HEAD = """
import json, sys
from converters.runtime.limits import Limits
Limits(*json.loads(sys.argv[1])).impose()
import numpy as np
model, names, arrays, *rest = sys.argv[2:]
values = np.load(arrays)
feeds = {n: values[f"a{i}"] for i, n in enumerate(json.loads(names))} or None
"""
# How Python, C++ and the loader say it.
_STARVED = re.compile(rb"MemoryError|std::bad_alloc|std::length_error|[Cc]annot allocate memory")
_SCRIPT = """
from converters.runtime.interpreter import make_interpreter, run, zeros
from converters.errors import ConversionError
for name in rest:
    print(json.dumps([name, "starts"]), flush=True)
    try:
        interpreter = make_interpreter(model, kernels=name)
        run(interpreter, zeros(interpreter) if feeds is None else feeds)
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
        stopped: whether it was stopped, as it took too much time or memory.
    """

    reason: str
    died: bool
    stopped: bool = False


def refusals(content: bytes, feeds: Mapping[str, np.ndarray], kernels: Sequence[Kernels]) -> dict[Kernels, Refusal]:
    """Loads and runs a file once with each of ``kernels``, all in one child process as long as that lives.

    Args:
        content: .tflite bytes.
        feeds: input name -> array, as for :func:`converters.runtime.interpreter.run`; none: zeros.
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
            stopped = child.endless or child.starved
            found[left[0]] = Refusal(child.ending.format(what=f"the {left[0]} kernels end"), not stopped, stopped)
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
        starved: whether it wanted more memory than it may have.
    """

    lines: list[str]
    ending: str
    failed: bool = False
    endless: bool = False
    starved: bool = False


def run_child(script: str, content: bytes, feeds: Mapping[str, np.ndarray], arguments: Sequence[str]) -> Child:
    """Runs a Python script that imports these same packages, within limits of memory and time.

    Args:
        script: finds the path of a file of ``content`` as ``model``, the ``feeds``, and the ``arguments`` as ``rest``.
        content, feeds, arguments: for it.
    """
    limits = limits_for(len(content) + sum(array.nbytes for array in feeds.values()))
    with tempfile.TemporaryDirectory() as folder:
        model, arrays, printed, said = (Path(folder, n) for n in ("model.tflite", "feeds.npz", "printed", "said"))
        model.write_bytes(content)
        numbered: dict[str, Any] = {f"a{i}": array for i, array in enumerate(feeds.values())}
        np.savez(arrays, **numbered)
        known = [json.dumps(astuple(limits)), str(model), json.dumps(list(feeds)), str(arrays)]
        try:
            code = _finish(Request(_HEAD + script, [*known, *arguments], str(printed), str(said), limits.seconds))
        except OSError:
            return Child([], "", failed=True)
        lines = printed.read_text(errors="replace").split("\n")[:-1]  # whole ones
        if code is None:
            return Child(lines, f"no result after {limits.seconds:.0f} seconds", endless=True)
        starved = _STARVED.search(said.read_bytes())
    if starved:
        return Child(lines, f"they need more than the {limits.memory / 1e9:.1f} GB of memory there are", starved=True)
    return Child(lines, f"{{what}} the process ({status_name(code)})", failed=code > 0)


def _finish(request: Request) -> int | None:
    """Runs a script to its end: exit status, negative for a signal; None if it took too long."""
    with contextlib.suppress(NoForksError):
        return run_forked(request)
    with open(request.out, "wb") as out, open(request.errors, "wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", request.script, *request.arguments],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,  # it does not get the terminal's Ctrl-C; who waits for it does, and ends it
        )
    try:
        return child.wait(request.seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_session(child)
