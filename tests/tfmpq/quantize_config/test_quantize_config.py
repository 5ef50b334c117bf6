"""The tfmot plugin, tested in processes of its own: importing tfmot switches the whole process to Keras 2."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

FOLDER = Path(__file__).with_name("tfmot")
# By day TensorFlow starts once, for the short ones and for one test of what is in the file.
BY_DAY = ("test_annotated.py", "test_folding.py", "test_applied.py::test_file_holds_the_simulated_integers")
AT_NIGHT = ("test_applied.py", "test_training.py")
MODULES = [BY_DAY, *(pytest.param((name,), marks=pytest.mark.nightly) for name in AT_NIGHT)]
assert {path.name for path in FOLDER.glob("test_*.py")} == {name.partition("::")[0] for name in (*BY_DAY, *AT_NIGHT)}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tensorflow_model_optimization") is None, reason="needs the extra [tfmot]")
@pytest.mark.parametrize("modules", MODULES)
def test_in_a_process_of_its_own(modules: tuple[str, ...]):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(str(FOLDER / name) for name in modules),
    ]
    # What this process was started with, as a plugin that runs tests in parallel, is not for that one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


def test_without_tfmot(run_python: Callable[..., CompletedProcess[str]]):
    code = """
        from converters.errors import MissingDependencyError

        try:
            import tfmpq.quantize_config
        except MissingDependencyError as error:
            print(error)
    """
    result = run_python(code, blocked=("tensorflow_model_optimization",))
    assert "pip install 'tfmpq[tfmot]'" in result.stdout, result.stderr
    assert "tfmpq.keras" in result.stdout
