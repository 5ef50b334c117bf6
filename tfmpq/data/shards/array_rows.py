"""Shards of arrays: an .npz with samples along the first axis of each of its arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from converters.errors import DataError
from tfmpq.data.shards.fields import Choose, Record
from tfmpq.files import read_npz


def read_rows(path: Path, choose: Choose) -> Iterator[tuple[tuple[str, ...], Record]]:
    """The samples of a file; it is held as a whole."""
    arrays = _arrays(path)
    names = tuple(arrays)
    chosen = choose(names)
    for row in range(_count(arrays)):
        yield names, {name: arrays[name][row] for name in chosen}


def count_rows(path: Path) -> int:
    """How many there are."""
    return _count(_arrays(path))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(path)
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise DataError(f"'{path}': its arrays hold {counts} samples, but each must hold the same number")
    return arrays


def _count(arrays: dict[str, np.ndarray]) -> int:
    return len(next(iter(arrays.values())))
