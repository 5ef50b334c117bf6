"""Files as they were: operators, tensors, names and points of conversions that are the same on every processor.

After a change that is meant: ``python -m tools.same_bytes --write_golden``, and say in the commit why it is right.
"""

from __future__ import annotations

import json

import pytest

from tools.same_bytes.golden import GOLDEN, exact_cases, snapshot

KNOWN = json.loads(GOLDEN.read_text())


def test_every_exact_case_has_a_snapshot():
    assert sorted(KNOWN) == sorted(exact_cases())
    assert len(KNOWN) >= 8


@pytest.mark.parametrize("name", KNOWN)
def test_files_are_as_they_were(name: str):
    found, known = json.loads(json.dumps(snapshot(name))), KNOWN[name]
    assert found["points"] == known["points"]
    for number, (ours, theirs) in enumerate(zip(found["ops"], known["ops"], strict=False)):
        assert ours == theirs, f"operator {number} of {name}"
    assert len(found["ops"]) == len(known["ops"])
