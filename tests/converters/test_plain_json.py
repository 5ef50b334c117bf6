from __future__ import annotations

import json

import pytest

from converters.plain_json import MAX_DEPTH, parse
from converters.small_file import read_file


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "nested more than 200 deep"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested more than 200 deep"),
        ('{"a":' * 300 + "1" + "}" * 300, "nested more than 200 deep"),
        ("9" * 5000, "a number of 5000 digits"),
        ("9" * 30, "a number of 30 digits"),
        ("1e999", "not finite"),
        ("[NaN]", "no number of JSON"),
        ("-Infinity", "no number of JSON"),
        ('{"a": 1, "b": 2, "a": 3}', "sets a field twice, 'a'"),
        (r'["\ud800"]', "surrogates not allowed"),
        (r'{"\udfff": 1}', "surrogates not allowed"),
        (b"\xff\xfe[]", "can't decode"),
        ("", "Expecting value"),
        (" " * (5 * 2**20), "larger than 4 MiB"),
    ],
)
def test_what_is_refused(content: str | bytes, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse(content)


def test_what_is_taken():
    value = {"a": [1, -2.5, None, True, "ü"], "b": {"c": 2**63}, "deep": []}
    for _ in range(MAX_DEPTH - 3):
        value = {"deep": value}
    assert parse(json.dumps(value).encode()) == value
    assert parse("[NaN, Infinity]", finite=False)[1] == float("inf")


def test_files_that_do_not_end():
    with pytest.raises(ValueError, match="larger than 4 MiB"):
        read_file("/dev/zero")
