"""The first sample says the sizes of what a model leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import DataError
from converters.frontend.float_model import InputSpec
from tfmpq.data.first_sample import commonest_sizes, first_shapes

IMAGE = InputSpec("image", ("pixels",), (None, None, None, 3), np.dtype(np.float32))
IDS = InputSpec("ids", (), (1, None), np.dtype(np.int32))
ARRAY = np.zeros((5, 8, 6, 3), np.float32)


@pytest.mark.parametrize(
    "data",
    [ARRAY, ARRAY[:, None], list(ARRAY), lambda: iter(ARRAY), lambda: ([a[None]] for a in ARRAY), {"pixels": ARRAY}],
    ids=["array", "with batch", "list", "function", "of lists", "dict"],
)
def test_every_form(data: Any):
    assert first_shapes(data, [IMAGE]) == {"image": (1, 8, 6, 3)}


def test_several_inputs_and_lengths():
    data = [{"image": ARRAY[:1], "ids": np.zeros(n, int)} for n in (7, 9)]
    assert first_shapes(data, [IMAGE, IDS]) == {"image": (1, 8, 6, 3), "ids": (1, 7)}
    assert first_shapes([], [IDS]) == {}


def test_data_that_cannot_be_read():
    def broken() -> Any:
        raise KeyError("photos")
        yield

    with pytest.raises(DataError, match="raised KeyError at sample 0"):
        first_shapes(broken, [IDS])
    with pytest.raises(DataError, match="sample 0 of rep_dataset, input 'ids' has shape"):
        first_shapes([np.zeros((2, 3, 4), int)], [IDS])


def test_the_commonest_sizes():
    def sample(length: int, value: int = 0) -> dict[str, np.ndarray]:
        return {"ids": np.full((1, length), value)}

    assert commonest_sizes([sample(4), sample(9, 1), sample(9, 2), sample(5)])["ids"][0, 0] == 1
    assert commonest_sizes([sample(n) for n in (30, 2, 7, 5, 11)])["ids"].shape == (1, 7)
    assert commonest_sizes([sample(3)])["ids"].shape == (1, 3)
