"""Running a file in a process of its own, for kernels that abort the process instead of reporting an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.runtime.interpreter import Kernels

_TIMEOUT = 600  # seconds; reference kernels take a few on a mobile network
_SCRIPT = """
import json, sys
import numpy as np
from converters.runtime.interpreter import make_interpreter, run
from converters.errors import FileFormatError
model, kernels, names, arrays = sys.argv[1:]
values = np.load(arrays)
try:
    run(make_interpreter(model, kernels=kernels), {n: values[f"a{i}"] for i, n in enumerate(json.loads(names))})
except FileFormatError as error:
    print(str(error).replace(model, "model.tflite"))
    sys.exit(3)
"""


def refusal(content: bytes, feeds: Mapping[str, np.ndarray], kernels: Kernels) -> str | None:
    """Why a file does not run with ``kernels``, or None if it does.

    Args:
        content: .tflite bytes.
        feeds: input name -> array, as for :func:`converters.runtime.interpreter.run`.
        kernels: which kernels.
    """
    with tempfile.TemporaryDirectory() as folder:
        model, arrays = Path(folder, "model.tflite"), Path(folder, "feeds.npz")
        model.write_bytes(content)
        numbered: dict[str, Any] = {f"a{i}": array for i, array in enumerate(feeds.values())}
        np.savez(arrays, **numbered)
        command = [sys.executable, "-c", _SCRIPT, str(model), kernels, json.dumps(list(feeds)), str(arrays)]
        try:
            child = subprocess.run(command, env=child_environment(), capture_output=True, text=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"no result after {_TIMEOUT} seconds"
    if child.returncode == 0:
        return None
    if child.returncode == 3:
        return child.stdout.strip().partition(". ")[0]  # the reason; what follows is advice
    return f"the {kernels} kernels end the process (exit status {child.returncode})"


def child_environment() -> dict[str, str]:
    """Environment of a Python process that imports these same packages, installed or not."""
    root = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    # The working directory is the user's: a file there may be called as a module that is needed (Python 3.11 or later).
    return {**os.environ, "PYTHONPATH": search, "PYTHONSAFEPATH": "1"}
