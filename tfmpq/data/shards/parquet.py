"""Shards of tables: Parquet files, a row a sample, by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import MissingDependencyError
from tfmpq.data.shards.fields import Choose, Record

_ROWS = 64  # that are decoded at a time


def read_table(path: Path, choose: Choose) -> Iterator[tuple[tuple[str, ...], Record]]:
    """The rows of a file, of the columns that are chosen.

    A column holds numbers, lists of numbers or tensors, bytes (an image or an .npy), or structs with ``bytes``, as
    Hugging Face writes images.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        ValueError: A value is missing.
        Exception: pyarrow's, of damaged files.
    """
    with _opened(path) as table:
        names = tuple(table.schema_arrow.names)
        chosen = choose(names)
        number = 0
        for batch in table.iter_batches(batch_size=_ROWS, columns=list(chosen)):
            for row in range(batch.num_rows):
                yield names, {name: _value(batch.column(name)[row], name, number + row) for name in chosen}
            number += batch.num_rows


def count_table(path: Path) -> int:
    """How many rows there are, as the end of the file says."""
    with _opened(path) as table:
        return table.metadata.num_rows


def _opened(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError as error:
        raise MissingDependencyError(f"'{path}': reading Parquet needs pyarrow: pip install 'tfmpq[shards]'") from error
    return ParquetFile(path)


def _value(scalar: Any, name: str, row: int) -> Any:
    if not scalar.is_valid:
        raise ValueError(f"row {row} has no value in column '{name}'")
    if hasattr(scalar, "to_numpy"):  # a tensor of its own shape
        return scalar.to_numpy()
    values = getattr(scalar, "values", None)
    if values is not None and hasattr(values, "to_numpy") and not hasattr(values.type, "value_type"):
        return values.to_numpy(zero_copy_only=False)
    value = scalar.as_py()
    if isinstance(value, dict):
        return value.get("bytes")
    return value if isinstance(value, bytes) else np.asarray(value)
