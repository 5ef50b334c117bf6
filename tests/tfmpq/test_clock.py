from __future__ import annotations

import contextlib
import sys

import pytest

from tfmpq.clock import SHARES, Clock, progress_line


class Terminal:
    """Stands in for stderr."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_what_is_left_is_that_of_the_shares():
    assert sum(SHARES.values()) == 100
    stages = list(SHARES)
    assert progress_line({}) == "converting: float conversion (1 of 11)"
    assert progress_line({stages[0]: 5}) == "converting: data check (2 of 11), about 00:20 left"
    done = {stage: 2.0 * SHARES[stage] for stage in stages[:6]}
    assert progress_line({**done, "cache": 1000}) == "converting: points (7 of 11), about 00:54 left"
    assert progress_line(dict.fromkeys(stages, 1.0)) == "converting"


def test_a_stage_that_does_not_occur_is_passed_over():
    assert progress_line({"statistics": 1, "float conversion": 1}).startswith("converting: data check (2 of 11)")


@pytest.mark.parametrize("shown", [False, True])
def test_the_line_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch, shown: bool):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with contextlib.suppress(ValueError), Clock(shown=shown) as clock:
        clock.lap("float conversion")
        clock.lap("data check")
        raise ValueError
    assert list(clock.seconds) == ["float conversion", "data check"]
    assert ("stock conversion (3 of 11)" in terminal.text) == shown
    assert terminal.text.rpartition("\r")[2].strip() == ""
