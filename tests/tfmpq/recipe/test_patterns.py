"""Patterns match what `re` matches, and none takes long."""

from __future__ import annotations

import re
import time

import pytest

from tfmpq.recipe.patterns import compile_pattern

NAMES = ["conv1", "block_1/conv", "block_12/depthwise", "Dense", "größe/Conv", "a.b", ""]


@pytest.mark.parametrize(
    "pattern",
    ["conv", "^conv", "conv$", r"block_\d+/", "(?i)dense", "conv|depthwise", r"a\.b", "^$", r"größe", "[^/]+$"],
)
def test_matches_are_those_of_re(pattern: str):
    assert [compile_pattern(pattern)(name) for name in NAMES] == [
        re.search(pattern, name) is not None for name in NAMES
    ]


SLOW = ["(a+)+$", "(a|a)*$", "a?" * 30 + "a" * 30, ".*" * 20 + "x", "((a*)*)*b", "(.*.*)=x"]


@pytest.mark.parametrize("pattern", SLOW)
def test_time_does_not_explode(pattern: str):
    start = time.perf_counter()
    compile_pattern(pattern)("a" * 500 + "/")
    assert time.perf_counter() - start < 2  # some 20 ms; by going back and trying again, years


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(" * 5000 + ")" * 5000, "more than 1000"),
        ("\ud800", "surrogates not allowed"),
        ("(((a{100}){100}){100}){100}", "repetition size"),
        (r"(a)\1", r"\\1"),
        ("(?!a)b", r"invalid perl operator: \(\?!"),
        ("[", "missing ]"),
    ],
)
def test_what_is_refused(pattern: str, reason: str, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match=reason):
        compile_pattern(pattern)
    assert capfd.readouterr() == ("", "")  # the engine does not write to the terminal by itself
