"""Shards in every format, written as other tools write them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    """An image (height, width, 3), uint8, as a file has it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_tar(path: Path, samples: Sequence[Mapping[str, bytes]], mode: str = "w") -> None:
    """A sample is the content of its members by what follows the first dot of their names."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for number, sample in enumerate(samples):
            for kind, content in sample.items():
                info = tarfile.TarInfo(f"part/{number:06d}.{kind}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def write_tfrecord(path: Path, samples: Sequence[Mapping[str, bytes | np.ndarray | int]]) -> None:
    """Numbers become lists of floats or of integers."""
    import tensorflow as tf

    compression = "GZIP" if path.suffix == ".gz" else ""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for sample in samples:
            features = {name: _feature(tf, value) for name, value in sample.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _feature(tf, value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    flat = np.ravel(value)
    if flat.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow  # pyright: ignore[reportMissingImports]
    import pyarrow.parquet  # pyright: ignore[reportMissingImports]

    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path, row_group_size=4)
