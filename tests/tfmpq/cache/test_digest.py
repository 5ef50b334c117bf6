"""Digests tell values apart that differ in anything, and agree in every process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfmpq.algorithms import Need
from tfmpq.cache.digest import Digest, NoDigestError, digest_of
from tfmpq.recipe.rules import Recipe, Rule

# Each differs from every other: in value, type, shape, order of bytes, or in where one part ends and the next begins.
VALUES: list[Any] = [
    None, True, 1, 1.0, "1", b"1", -0.0, 0.0, "", [], {}, ["ab", "c"], ["a", "bc"], [["a"], "bc"], {"a": 1, "b": 2},
    np.float32(1), np.ones(1), np.ones(1, np.float32), np.ones((1, 1)), np.ones(1, ">f4"), np.dtype(np.int8),
    Need.SAMPLES, Need.OUTPUT_MOMENT, Rule("a", bits=3), Rule("a", bits=4), Recipe([Rule("a", bits=4)]),
    np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), "\ud800", "\udc80",
    frozenset({"a"}), np.arange(4).reshape(2, 2), np.arange(4).reshape(2, 2).T,
]  # fmt: skip


def test_every_difference_tells():
    assert len({digest_of(value) for value in VALUES}) == len(VALUES)


def test_equal_values_agree_in_another_process(run_python: Callable[..., Any]):
    code = """
    import numpy as np
    from tfmpq.cache.digest import digest_of
    print(digest_of({"x": np.arange(6).reshape(2, 3)}, (1, "name", frozenset({"b", "a", "c"}))))
    """
    other = run_python(code)
    array = np.arange(12).reshape(2, 6)[:, ::2] // 2  # the same values, elsewhere in memory
    assert other.stdout.strip() == digest_of({"x": array}, (1, "name", frozenset({"c", "b", "a"}))), other.stderr


def test_paths_are_their_text_and_sequences_of_any_kind_the_same():
    assert digest_of(Path("a/b"), [1, 2]) == digest_of("a/b", (1, 2))


def test_parts_are_not_those_of_others():
    first, second = Digest(), Digest()
    first.add("ab")
    second.add("a")
    second.add("b")
    assert first.hexdigest() != second.hexdigest()


@pytest.mark.parametrize("value", [lambda: 0, object(), np.array([None]), [print]])
def test_what_does_not_say_what_it_is_has_none(value: Any):
    with pytest.raises(NoDigestError):
        digest_of(value)
