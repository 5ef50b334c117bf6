"""Blocks of columns: what wide layers have in the place of a whole second moment.

A layer of 25088 columns would have a moment of 5 GB, of which 100 images show 100 dimensions. Blocks on its diagonal
take the square of their own width, and leave out what few images say of inputs far apart: on images that rows were not
fitted to, blocks of 256 or 512 err 1 dB less than the whole (CIFAR-10, a flattened map of 2048 columns, fitted to 64
and to 384 images), and both err less than the diagonal alone, by 2 and 4 dB for blocks.

A moment (B, b, b) of a layer with one group and d > b columns is such a row of blocks, of b consecutive columns each;
the last may end in columns that the layer does not have, which are zero.
"""

from __future__ import annotations

import numpy as np


def block_count(columns: int, widest: int) -> int:
    """How many blocks of at most ``widest`` columns; all of one width, if that takes at most twice as many."""
    least = -(-columns // widest)
    return next((count for count in range(least, 2 * least + 1) if columns % count == 0), least)


def split(rows: np.ndarray, count: int) -> np.ndarray:
    """Rows (1, R, d) -> (count, R, b); with as many groups as blocks they stay as they are."""
    if len(rows) == count:
        return rows
    _, height, columns = rows.shape
    width = -(-columns // count)
    if count * width != columns:
        rows = np.pad(rows, ((0, 0), (0, 0), (0, count * width - columns)))
    return np.ascontiguousarray(rows.reshape(height, count, width).swapaxes(0, 1))


def join(blocks: np.ndarray, groups: int, columns: int) -> np.ndarray:
    """The way back: (B, R, b) -> (1, R, d)."""
    if len(blocks) == groups:
        return blocks
    rows = np.ascontiguousarray(blocks.swapaxes(0, 1)).reshape(1, blocks.shape[1], -1)
    return np.ascontiguousarray(rows[..., :columns])


def over_blocks(values: np.ndarray, groups: int) -> np.ndarray:
    """Sums (B, R) of blocks -> those of rows, (G, R)."""
    return values if len(values) == groups else values.sum(axis=0, keepdims=True)
