"""Limits follow the file and the machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from converters.runtime import limits
from converters.runtime.limits import limits_for
from converters.runtime.sessions import child_environment

GIB = 1 << 30


def test_limits_grow_with_the_file_within_what_is_free(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 100 * GIB)
    small, large = limits_for(1000), limits_for(100 << 20)
    assert 4 * GIB < small.memory < large.memory < 80 * GIB
    assert 120 <= small.seconds < large.seconds
    monkeypatch.setattr(limits, "available_memory", lambda: 2 * GIB)
    assert limits_for(1000).memory == int(1.6 * GIB)
    monkeypatch.setattr(limits, "available_memory", lambda: 0)  # a guess, and a wrong one
    assert limits_for(1000).memory == GIB
    monkeypatch.setattr(limits, "available_memory", lambda: None)
    assert limits_for(1000).memory == small.memory


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limits")
def test_limits_are_those_of_the_process_and_can_be_raised_again():
    script = """
import json, resource
from converters.runtime.limits import Limits
for limits in (Limits(1 << 30, 10.0), Limits(1 << 31, 20.0)):
    limits.impose()
print(json.dumps([resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_CPU)]))
"""
    child = subprocess.run([sys.executable, "-c", script], env=child_environment(), capture_output=True, text=True)
    memory, seconds = json.loads(child.stdout)
    assert memory == 2 * GIB
    assert seconds >= 20  # of every processor
