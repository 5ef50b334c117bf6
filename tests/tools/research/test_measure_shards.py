"""The shards that are measured, and how far sums are from one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.frontend.float_model import InputSpec
from tfmpq.data.shards.formats import find_shards
from tfmpq.data.shards.labelled import shard_chunks
from tools.research.measure_shards import FILES, difference, write_shards


def test_shards_are_readable_and_labelled(tmp_path: Path):
    write_shards(tmp_path, 40)
    shards = find_shards(tmp_path / "*.tar")
    assert shards is not None
    assert len(shards.files) == FILES
    inputs = (InputSpec("image", (), (1, 16, 16, 1), np.dtype(np.float32)),)
    chunks = list(shard_chunks(shards, shards.files, inputs, None))
    assert sum(chunk.data.count for chunk in chunks) == 40
    assert all(chunk.data.labels is not None for chunk in chunks)


def test_the_difference_is_relative_to_each_array(tmp_path: Path):
    arrays = {"header": np.zeros(3, np.uint8), "0/0/rows_shift": np.ones(2), "0/0/rows_total": np.array([4.0, 8.0])}
    np.savez(tmp_path / "whole.npz", **arrays)
    for name, total in (("a", [1.0, 2.0]), ("b", [3.0, 5.0])):
        np.savez(tmp_path / f"{name}.npz", **{**arrays, "0/0/rows_total": np.array(total)})
    assert difference(tmp_path / "whole.npz", [tmp_path / "a.npz", tmp_path / "b.npz"]) == 0.125
