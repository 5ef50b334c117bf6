from __future__ import annotations

import numpy as np
import pytest

from converters.errors import DataError
from tfmpq.data.iteration import open_passes


def test_messages_name_the_argument_and_arrays_are_checked():
    seen = []

    def check(array: np.ndarray, what: str) -> None:
        seen.append((array.shape, what))

    assert len(list(open_passes(np.zeros((3, 2)), "photos", check)())) == 3
    items = open_passes(lambda: np.zeros((4, 2)), "photos", check)
    assert seen == [((3, 2), "photos")]  # a function is not called before a pass starts
    assert len(list(items())) == len(list(items())) == 4
    assert seen[1:] == [((4, 2), "what photos() returns")] * 2
    with pytest.raises(DataError, match=r"photos is a list_iterator.*photos=samples, not photos=samples\(\)"):
        open_passes(iter([1]), "photos", check)
    with pytest.raises(DataError, match=r"what photos\(\) returns is None, no data"):
        open_passes(lambda: None, "photos", check)()
    with pytest.raises(DataError, match=r"photos is called without arguments.*photos=lambda"):
        open_passes(lambda path: [path], "photos", check)
    with pytest.raises(DataError, match="photos is of type int, which cannot be iterated"):
        open_passes(7, "photos", check)


def test_a_dict_is_one_item_and_an_object_array_is_its_entries():
    data = {"a": np.zeros(3)}
    assert list(open_passes(data, "photos", _refuse)()) == [data]
    entries = np.array(["a", None, 3], dtype=object)
    assert list(open_passes(entries, "photos", _refuse)()) == ["a", None, 3]


def _refuse(array: np.ndarray, what: str) -> None:
    raise AssertionError("there is no array of items to check")
