"""Shards of every format give the same samples, in order, without holding more than one record."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.errors import DataError, MissingDependencyError, OptionError
from converters.frontend.float_model import InputSpec
from tests.support.shards import npy, png, write_parquet, write_tar, write_tfrecord
from tfmpq.data.calibration_files import open_calibration
from tfmpq.data.early_check import check_calibration
from tfmpq.data.preprocessing import PREPROCESSINGS
from tfmpq.data.shards.fields import Decoder
from tfmpq.data.shards.formats import find_shards
from tfmpq.data.shards.reading import read_labelled_shard

MATRIX = (InputSpec("features", (), (1, 2, 3), np.dtype(np.float32)),)
IDS = (InputSpec("ids", (), (1, 2), np.dtype(np.int32)),)
PHOTO = (InputSpec("photo", (), (1, 4, 5, 3), np.dtype(np.float32)),)
DATA = np.arange(60, dtype=np.float32).reshape(10, 2, 3)


def npz_shard(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    np.savez(path.with_suffix(".npz"), x=x, y=y)
    return path.with_suffix(".npz")


def tar_shard(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    write_tar(path.with_suffix(".tar"), [{"npy": npy(a), "cls": str(b).encode()} for a, b in zip(x, y, strict=True)])
    return path.with_suffix(".tar")


def gzip_shard(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    samples = [{"features.npy": npy(a), "y.npy": npy(np.array(b))} for a, b in zip(x, y, strict=True)]
    write_tar(path.with_suffix(".tar.gz"), samples, "w:gz")
    return path.with_suffix(".tar.gz")


def tfrecord_shard(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    path = path.with_name(f"{path.name}.tfrecord-00000-of-00001")
    write_tfrecord(path, [{"x": a, "image/class/label": b, "name": b"a"} for a, b in zip(x, y, strict=True)])
    return path


def parquet_shard(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    pytest.importorskip("pyarrow")
    write_parquet(
        path.with_suffix(".parquet"), {"features": list(x.reshape(len(x), -1)), "label": y, "text": ["a"] * len(x)}
    )
    return path.with_suffix(".parquet")


def nested_shard(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    pytest.importorskip("pyarrow")
    write_parquet(path.with_suffix(".parquet"), {"x": x.tolist(), "label": y})
    return path.with_suffix(".parquet")


Shard = Callable[[Path, np.ndarray, np.ndarray], Path]
EVERY = pytest.mark.parametrize(
    "write", [npz_shard, tar_shard, gzip_shard, tfrecord_shard, parquet_shard, nested_shard]
)


@EVERY
def test_samples_come_in_order_and_anew_in_every_pass(tmp_path: Path, write: Shard):
    labels = np.arange(10) % 3
    for start, end in ((0, 6), (6, 10)):
        last = write(tmp_path / f"part{start}", DATA[start:end], labels[start:end])
    pattern = f"{tmp_path}/part*"
    check_calibration(pattern)
    samples = open_calibration(pattern, MATRIX)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([s["features"] for s in samples()]), DATA)
    few = open_calibration(pattern, MATRIX, max_samples=4)
    np.testing.assert_array_equal(np.concatenate([s["features"] for s in few()]), DATA[[0, 2, 5, 7]])
    shards = find_shards(pattern)
    assert shards is not None
    decoder = Decoder(pattern, MATRIX, None, labelled=True)
    found = [label for path in shards.files for _, label in read_labelled_shard(shards, path, MATRIX, decoder)]
    assert list(map(int, found)) == labels.tolist()
    single = find_shards(last)
    assert (single is None) == (write is npz_shard)  # one .npz is what it always was


@EVERY
def test_a_shard_that_is_cut_off_is_named(tmp_path: Path, write: Shard):
    path = write(tmp_path / "part", DATA, np.zeros(10, int))
    whole = path.read_bytes()
    for length in (len(whole) // 2 + 3, 0):  # a TFRecord that ends between two records shows nothing
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"'{path}'.*(is cut off, copy or write it again|Write it with)"):
            list(open_calibration(f"{tmp_path}/part*", MATRIX)())


def test_a_tar_that_ends_between_two_members_is_cut_off_too(tmp_path: Path):
    path = tar_shard(tmp_path / "part", DATA, np.zeros(10, int))
    path.write_bytes(path.read_bytes()[: 8 * 1024])  # members of a block of header and one of content
    with pytest.raises(DataError, match=r"cannot be read after 3 samples as WebDataset tar: it ends without the bl"):
        list(open_calibration(path, MATRIX)())


@EVERY
def test_samples_of_another_shape_name_the_shard(tmp_path: Path, write: Shard):
    path = write(tmp_path / "part", DATA[:, :, :2], np.zeros(10, int))
    with pytest.raises(DataError, match=rf"sample 0 of '{path}', input 'features' has shape \(.*\), but the model ta"):
        list(open_calibration(f"{tmp_path}/part*", MATRIX)())


def test_records_without_the_feature_name_the_shard_and_what_is_there(tmp_path: Path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [{"left": DATA[0], "right": DATA[0], "label": 1}])
    with pytest.raises(DataError, match=r"a\.tfrecord', sample 0: its fields are 'label', 'left', 'right', and none"):
        list(open_calibration(path, MATRIX)())
    shards = find_shards(path)
    assert shards is not None
    write_tfrecord(path, [{"x": DATA[0]}])
    with pytest.raises(DataError, match=r"sample 0: its fields are 'x', and none of them is a label\. Call it 'y'"):
        list(read_labelled_shard(shards, path, MATRIX, Decoder("it", MATRIX, None, labelled=True)))
    path.write_bytes(path.read_bytes())
    write_tfrecord(path, [{"x": b"\x93NUMPY"}])
    with pytest.raises(DataError, match=r"sample 0 of '.*', field 'x' is no \.npy array"):
        list(open_calibration(path, MATRIX)())


@pytest.mark.parametrize("kind", ["tar", "tfrecord", "parquet", "png"])
def test_images_in_records_are_decoded(tmp_path: Path, kind: str):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    images = [png(image) for image in pixels]
    path = tmp_path / f"part.{kind}"
    if kind == "tar":
        write_tar(path, [{"png": image, "json": b"{}"} for image in images])
    elif kind == "tfrecord":
        write_tfrecord(path, [{"image/encoded": image, "image/height": 4} for image in images])
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        write_parquet(path, {"image": [{"bytes": image, "path": "a.png"} for image in images], "label": [0, 1, 2]})
    else:
        for number, image in enumerate(images):
            (tmp_path / f"{number}.png").write_bytes(image)
    pattern = f"{tmp_path}/*.{kind}"
    raw = PREPROCESSINGS["raw"]
    found = np.concatenate([s["photo"] for s in open_calibration(pattern, PHOTO, preprocessing=raw)()])
    np.testing.assert_array_equal(found, pixels)
    check_calibration(pattern, preprocessing=raw)
    if kind != "parquet":  # a column of structs may be anything
        with pytest.raises(OptionError, match=r"holds images: say what pixel values"):
            check_calibration(pattern)
    with pytest.raises(OptionError, match=r"holds images: say what pixel values"):
        list(open_calibration(pattern, PHOTO)())
    with pytest.raises(DataError, match="no single image"):
        list(open_calibration(pattern, MATRIX, preprocessing=raw)())


def test_several_inputs_go_by_name(tmp_path: Path):
    ids = np.arange(20, dtype=np.int64).reshape(10, 2)
    write_tfrecord(tmp_path / "a.tfrecord", [{"ids": i, "features": x} for i, x in zip(ids, DATA, strict=True)])
    samples = list(open_calibration(tmp_path / "a.tfrecord", (*MATRIX, *IDS))())
    np.testing.assert_array_equal(np.concatenate([s["ids"] for s in samples]), ids.astype(np.int32), strict=True)


def test_a_compressed_tfrecord_is_read(tmp_path: Path):
    write_tfrecord(tmp_path / "a.tfrecord.gz", [{"x": x} for x in DATA])
    assert len(list(open_calibration(tmp_path / "a.tfrecord.gz", MATRIX)())) == 10


def test_patterns_that_are_no_good_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"no file matches '.*none\*\.tar' \(working directory"):
        find_shards(f"{tmp_path}/none*.tar")
    (tmp_path / "a.tar").touch()
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"matches '.*a\.txt', which is none of \.npz, \.npy, \.tfrecord"):
        find_shards(f"{tmp_path}/a*")
    (tmp_path / "a.txt").unlink()
    np.save(tmp_path / "a.npy", DATA)
    with pytest.raises(DataError, match=r"several kinds: '.*a\.(npy|tar)', '.*a\.(tar|npy)'"):
        find_shards(f"{tmp_path}/a*")
    with pytest.raises(DataError, match=r"'s3://b/y\.tar' is a URL: .* in specs of tfmpq sweep only"):
        find_shards("s3://b/y.tar")
    assert find_shards(tmp_path) is None
    assert find_shards(tmp_path / "missing.npz") is None


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingDependencyError, match=r"a\.parquet': reading Parquet needs pyarrow: pip install 'tfmp"):
        check_calibration(tmp_path / "a.parquet")


def test_memory_does_not_grow_with_the_samples(tmp_path: Path):
    sample = np.zeros((2, 3), np.float32)
    peaks = []
    for count in (1000, 8000):
        path = tmp_path / f"{count}.tar"
        write_tar(path, [{"npy": npy(sample)}] * count)
        samples = open_calibration(path, MATRIX)
        next(samples())  # what is made once
        tracemalloc.start()
        assert sum(1 for _ in samples()) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000  # 7,000 further headers would be 4 MB; what waits for the collector varies
