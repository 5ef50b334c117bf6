"""Shards of TensorFlow: TFRecord files of ``tf.train.Example``, by tf.data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfmpq.data.shards.fields import Choose, Record

_FRAME = 16  # bytes around the content of a record: its length, and two checksums


def read_examples(path: Path, choose: Choose) -> Iterator[tuple[tuple[str, ...], Record]]:
    """The samples of a file; one whose name ends in ``.gz`` is compressed.

    Raises:
        ValueError: A record is no example.
        Exception: TensorFlow's, of damaged files.
    """
    import tensorflow as tf

    for number, content in enumerate(_records(path)):
        try:
            features = tf.train.Example.FromString(content).features.feature
        except Exception as error:  # of the protocol buffers' own making
            raise ValueError(f"record {number} is no tf.train.Example") from error
        names = tuple(sorted(features))
        yield names, {name: _value(features[name]) for name in choose(names)}


def count_examples(path: Path) -> int:
    """How many there are; they are read, but not parsed."""
    return sum(1 for _ in _records(path))


def _records(path: Path) -> Iterator[bytes]:
    import tensorflow as tf

    size = path.stat().st_size
    if not size:
        raise ValueError("it is empty")
    packed, read = path.name.endswith(".gz"), 0
    dataset = tf.data.TFRecordDataset(str(path), compression_type="GZIP" if packed else None)
    try:
        for content in dataset.as_numpy_iterator():
            yield bytes(content)
            read += len(content) + _FRAME
    except tf.errors.DataLossError as error:
        raise ValueError(error.message.rpartition("}} ")[2].partition(" [Op:")[0]) from error
    if not packed and read != size:  # TensorFlow takes a piece of a frame for the end
        raise ValueError(f"its last {size - read} bytes are no record")


def _value(feature: Any) -> Any:
    kind = feature.WhichOneof("kind")
    if kind == "bytes_list":
        values = feature.bytes_list.value
        return values[0] if len(values) == 1 else list(values)
    if kind == "float_list":
        return np.array(feature.float_list.value, np.float32)
    return np.array(feature.int64_list.value, np.int64)
