"""The package as installed: what importing it costs, its version, its data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import tfmpq

Run = Callable[..., CompletedProcess[str]]
ROOT = Path(tfmpq.__file__).parents[1]


def test_version_is_that_of_pyproject():
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert tfmpq.__version__ == declared[1]


def test_importing_loads_no_framework(run_python: Run):
    code = """
        import sys
        import tfmpq, converters
        heavy = {"tensorflow", "keras", "tf_keras", "tensorflow_model_optimization", "matplotlib"}
        print(sorted(heavy & set(sys.modules)))
    """
    result = run_python(code)
    assert result.stdout.strip() == "[]", result.stderr


def test_importing_takes_less_than_300_ms(run_python: Run):
    code = """
        import time
        start = time.perf_counter()
        import tfmpq
        print(time.perf_counter() - start)
    """
    # The best of three: the other runs may meet a cold file cache or a busy machine.
    assert min(float(run_python(code).stdout) for _ in range(3)) < 0.3


def test_every_public_name_exists():
    missing = [name for name in tfmpq.__all__ if not hasattr(tfmpq, name)]
    assert not missing


def test_errors_are_there_after_the_import_alone(run_python: Run):
    code = """
        import tfmpq, converters.errors
        raised = {name for name, value in vars(converters.errors).items() if isinstance(value, type)}
        print(sorted(name for name in raised if getattr(tfmpq.errors, name, None) is not vars(converters.errors)[name]))
        print(issubclass(tfmpq.errors.OptionError, tfmpq.ConversionError))
    """
    result = run_python(code)
    assert result.stdout.split("\n") == ["[]", "True", ""], result.stderr
