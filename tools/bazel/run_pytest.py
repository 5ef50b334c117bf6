"""Runs one test file with pytest as a Bazel test: `run_pytest.py FILE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    # Bazel's test directories are read-only but for this one.
    scratch = Path(os.environ["TEST_TMPDIR"])
    os.environ.setdefault("HOME", str(scratch))
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(scratch / "hypothesis")
    arguments = [
        "--config-file=pyproject.toml",
        "--rootdir=.",
        "-p",
        "no:cacheprovider",
        f"--basetemp={scratch / 'pytest'}",
    ]
    if "XML_OUTPUT_FILE" in os.environ:
        arguments.append(f"--junit-xml={os.environ['XML_OUTPUT_FILE']}")
    code = pytest.main([*arguments, *sys.argv[1:]])
    # All tests of a few files are nightly ones, which the configuration leaves out.
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code


if __name__ == "__main__":
    sys.exit(main())
