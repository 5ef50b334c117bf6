"""Patterns match what `re` matches, and none takes long."""

from __future__ import annotations

import random
import re
import time

import pytest

from tfmpq.recipe import patterns
from tfmpq.recipe.patterns import compile_pattern

ATOMS = [*"abcA._/^$1é", *(rf"\{c}" for c in "dwWbAZ.n"), "[a-c]", "[^a]", r"[\d_]"]


def random_pattern(rng: random.Random, depth: int = 0) -> str:
    kind = 0.0 if depth > 3 else rng.random()
    inner = random_pattern(rng, depth + 1) if kind > 0.35 else ""
    if kind <= 0.35:
        return rng.choice(ATOMS)
    if kind < 0.6:
        return inner + random_pattern(rng, depth + 1)
    if kind < 0.75:
        return f"(?:{inner}){rng.choice(['*', '+', '?', '{2}', '{0,2}', '*?', '{1,}'])}"
    if kind < 0.9:
        return f"({inner}|{random_pattern(rng, depth + 1)})"
    if kind < 0.96:
        return f"({rng.choice(['?=', '?!', '?i:', '?s:'])}{inner})"
    return f"({rng.choice(['?<=', '?<!'])}{rng.choice(['a', 'ab', '[a-c]1'])})"


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_matches_are_those_of_re(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patterns, "_MAX_CHOICES", 0)  # nothing is left to re
    rng, compared = random.Random(0), 0
    for _ in range(2000):
        pattern = rng.choice(["", "", "(?i)", "(?m)"]) + random_pattern(rng)
        found = compile_pattern.__wrapped__(pattern)
        for _ in range(3):
            text = "".join(rng.choice("abcA_/12é.\n ") for _ in range(rng.randrange(9)))
            assert found(text) == (re.search(pattern, text) is not None), (pattern, text)
            compared += 1
    assert compared == 6000


SLOW = ["(a+)+$", "(a|a)*$", "a?" * 30 + "a" * 30, ".*" * 20 + "x", "((a*)*)*b", "(.*.*)=x"]


@pytest.mark.parametrize("pattern", SLOW)
def test_time_does_not_explode(pattern: str):
    start = time.perf_counter()
    compile_pattern(pattern)("a" * 500 + "/")
    assert time.perf_counter() - start < 2  # some 20 ms; by going back and trying again, years


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a{99999999999}", "too large"),
        ("(" * 5000 + ")" * 5000, "more than 1000"),
        ("(" * 500 + ")" * 500, "nested too deeply"),
        ("\ud800", "surrogates not allowed"),
        ("(((a{100}){100}){100}){100}", "repeats make it too large"),
        ("((){1000}){1000}", "repeats make it too large"),
        (r"(a)\1", "references to groups"),
        ("[", "unterminated character set"),
    ],
)
def test_what_is_refused(pattern: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        compile_pattern(pattern)
