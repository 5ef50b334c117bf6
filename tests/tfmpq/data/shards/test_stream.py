"""Streams of samples: as much of arrays as is needed, of which a few neighbours are held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from converters.errors import DataError
from tfmpq.data.shards.stream import Column, Piece, Sample, Stream, labelled_stream, mixed, stream_of

COUNTS = (100, 1, 230)
VALUES = np.arange(sum(COUNTS), dtype=np.float32)[:, None] * [1, 2]


def stream(read: list[int], counts: Sequence[int] = COUNTS, lacking: int = 0) -> Stream:
    """Samples of two inputs; ``read`` gets the number of each one that is decoded."""
    starts = np.cumsum([0, *counts])

    def piece(number: int) -> Piece:
        start, passes = int(starts[number]), 0

        def opened(rows: Sequence[int]) -> Iterator[Sample]:
            nonlocal passes
            passes += 1
            for row in rows[: len(rows) - lacking if passes > 1 else None]:
                read.append(start + row)
                yield {"x": VALUES[start + row][None], "number": np.array([start + row])}

        return Piece(f"shard {number}", counts[number], opened)

    return Stream([piece(number) for number in range(len(counts))])


def test_it_reads_like_an_array_and_each_sample_once_in_order():
    read: list[int] = []
    data = labelled_stream(stream(read), None)
    x, number = data.inputs["x"], data.inputs["number"]
    assert (data.count, x.shape, x.dtype, number.shape) == (331, (331, 2), np.float64, (331,))
    read.clear()
    for start in range(0, 331, 10):
        rows = np.minimum(np.arange(start, start + 10), 330)  # the last batch is filled up, as evaluating does
        for array in (x, number, x):  # two files in turns
            assert len(array[rows]) == 10
        np.testing.assert_array_equal(x[rows], VALUES[rows])
    assert read == list(range(331))
    np.testing.assert_array_equal(number[np.array([330, 3, 100, 4])], [330, 3, 100, 4])


def test_some_samples_are_a_stream_and_others_are_not_decoded():
    read: list[int] = []
    whole = stream(read)
    rows = np.array([1, 99, 101, 102, 330])
    few = whole.of(rows).of(np.array([1, 2, 4]))
    read.clear()
    np.testing.assert_array_equal(Column(few, "number")[np.arange(3)], [99, 101, 330])
    assert (len(few), read) == (3, [99, 101, 330])
    assert stream_of(labelled_stream(few, None)) is few
    assert [labelled_stream(few, None).place(row) for row in range(3)] == [
        "sample 99 of shard 0",
        "sample 0 of shard 2",
        "sample 229 of shard 2",
    ]


def test_a_mixed_pass_has_all_samples_in_an_order_by_chance():
    whole = stream([])
    passes = [list(mixed(whole, np.random.default_rng(seed), opened=2, held=20)) for seed in (0, 0, 1)]
    orders = [[number for _, number in samples] for samples in passes]
    assert all(sample["number"].tolist() == [number] for sample, number in passes[0])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(331))
    early = np.array(orders[0][:100])  # of both long pieces, in halves or so
    assert 20 < (early < 100).sum() < 80


def test_a_later_pass_that_gives_fewer_is_an_error():
    x = Column(stream([], lacking=3), "x")
    with pytest.raises(DataError, match=r"shard 2 gave 230 samples at first and 227 in a later pass"):
        [x[np.arange(row, row + 1)] for row in (5, 101, 5, 330)]
