"""The program from its first moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["numpy", "absl.flags", "rich"])
def test_an_interrupt_while_packages_load_says_one_line(package: str):
    # The signal comes when the package is asked for, at whatever speed the machine runs.
    code = f"""
import builtins, os, signal, sys
original = builtins.__import__
def load(name, *rest):
    if name == {package!r}:
        os.kill(os.getpid(), signal.SIGINT)
    return original(name, *rest)
builtins.__import__ = load
from tfmpq.__main__ import main
sys.exit(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, "inspect", "no.tflite"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tfmpq: interrupted\n")


def test_names_of_files_are_shown_escaped():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tfmpq", "inspect", os.fsdecode(b"a\x1b[31m\xff.tflite")]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"tfmpq inspect: file 'a\\x1b[31m\\udcff.tflite' cannot be read")
