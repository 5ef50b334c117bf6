from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from converters.rewriting.union import Union


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_sets_are_the_connected_parts(pairs: list[tuple[int, int]]) -> None:
    union = Union()
    assert list(union.new(12)) == list(range(1, 13))
    for first, second in pairs:
        union.tie(np.array([first]), np.array([second]))

    label = list(range(13))  # a few rounds of the smallest label reach the ends of any chain
    for _ in range(13):
        for a, b in pairs:
            label[a] = label[b] = min(label[a], label[b])
    assert list(union.roots(np.arange(13))) == label
    numbers = union.numbers()
    assert numbers[0] == 0
    assert sorted(set(numbers)) == list(range(len(set(label))))
    assert [numbers[i] == numbers[j] for i in range(13) for j in range(13)] == [x == y for x in label for y in label]


def test_shapes_are_broadcast() -> None:
    union = Union()
    numbers = union.new(6).reshape(2, 3)
    union.tie(numbers[0], numbers)
    assert union.roots(numbers.ravel()).tolist() == [1, 2, 3, 1, 2, 3]
