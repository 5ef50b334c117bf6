"""Constants of a file are replaced, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from converters.frontend.dynamic_file import dynamic_file
from converters.layers.lstm_gates import is_lstm
from converters.rewriting.lstm_codes import with_constants
from converters.tflite.file import File
from converters.tflite.graph import Op
from converters.tflite.reader import load
from tests.support.lstm_files import lstm_file, lstm_graph, lstm_weights


def base() -> File:
    shared = lstm_weights()
    return dynamic_file(load(lstm_file(lstm_graph("main", [shared, shared]))))


def lstms(file: File) -> list[Op]:
    return [op for op in file.graph.ops if is_lstm(op)]


def test_only_what_is_given_changes():
    before = base()
    first, second = lstms(before)
    assert first.input(2).data is second.input(2).data
    codes = first.input(2).array() ^ 1
    after = with_constants(before, {op: {2: codes} for op in (first, second)})
    assert len(after.content) == len(before.content)  # they still share it
    for old, new in zip(lstms(before), lstms(after), strict=True):
        np.testing.assert_array_equal(new.input(2).array(), codes)
        assert new.input(2).scale == old.input(2).scale
        assert [t and t.data for i, t in enumerate(new.inputs) if i != 2] == [
            t and t.data for i, t in enumerate(old.inputs) if i != 2
        ]
    np.testing.assert_array_equal(first.input(2).array(), codes ^ 1)  # what it was made of stays


def test_one_of_two_that_shared_a_matrix():
    before = base()
    codes = lstms(before)[0].input(2).array() ^ 1
    first, second = lstms(with_constants(before, {lstms(before)[0]: {2: codes}}))
    np.testing.assert_array_equal(first.input(2).array(), codes)
    np.testing.assert_array_equal(second.input(2).array(), codes ^ 1)


def test_other_types_and_shapes_are_refused():
    before = base()
    op = lstms(before)[0]
    for wrong in (op.input(2).array().astype(np.int16), op.input(2).array()[:4]):
        with pytest.raises(ValueError, match="input 2"):
            with_constants(before, {op: {2: wrong}})
