"""Labelled samples by name, in every form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.errors import DataError, OptionError
from converters.frontend.float_model import InputSpec
from tests.support.shards import npy, png, write_parquet, write_tar, write_tfrecord
from tfmpq.data.early_check import check_evaluation
from tfmpq.data.evaluation_set import Labelled, check_labelled
from tfmpq.data.labelled_files import is_arrays, read_labelled
from tfmpq.data.preprocessing import PREPROCESSINGS

INPUTS = (InputSpec("features", (), (1, 2, 3), np.dtype(np.float32)),)
DATA = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
LABELS = np.arange(10) % 4
CODE = """
import numpy as np
import tfmpq
X, Y = np.load("all.npz")["x"], np.load("all.npz")["y"]
def pairs():
    yield from zip(X, Y)
def batches():
    return [(X[:4], Y[:4]), (X[4:], Y[4:])]
def arrays():
    return tfmpq.Labelled({"x": X}, Y)
def nothing():
    return []
def late():
    yield X[0], Y[0]
    raise KeyError("late")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("all.npz", x=DATA, y=LABELS)
    Path("named.py").write_text(CODE)
    for number, rows in enumerate((slice(0, 6), slice(6, 10))):
        x, y = DATA[rows], LABELS[rows]
        np.savez(f"part{number}.npz", features=x, label=y)
        write_tar(Path(f"{number}.tar"), [{"npy": npy(a), "cls": str(b).encode()} for a, b in zip(x, y, strict=True)])
        write_tar(Path(f"bare{number}.tar"), [{"npy": npy(a)} for a in x])
        write_tfrecord(Path(f"{number}.tfrecord"), [{"x": a, "label": b} for a, b in zip(x, y, strict=True)])
    return tmp_path


def same(data: Labelled, labels: np.ndarray | None = LABELS) -> None:
    data = check_labelled(data)
    np.testing.assert_array_equal(next(iter(data.inputs.values()))[np.arange(10)], DATA)
    assert (data.labels is None) == (labels is None)
    assert labels is None or np.array_equal(np.asarray(data.labels), labels)


@pytest.mark.parametrize(
    "name", ["all.npz", "part*.npz", "[01].tar", "*.tfrecord", "named.py:pairs", "named:batches", "named:arrays"]
)
def test_every_form_gives_the_same(folder: Path, name: str):
    check_evaluation(name)
    assert is_arrays(name) == (name == "all.npz")
    same(read_labelled(name, INPUTS))


def test_parquet_too(folder: Path):
    pytest.importorskip("pyarrow")
    write_parquet(Path("a.parquet"), {"features": list(DATA.reshape(10, -1)), "label": LABELS})
    same(read_labelled("a.parquet", INPUTS))


def test_labels_may_be_missing_where_none_are_needed(folder: Path):
    same(read_labelled("bare*.tar", INPUTS), None)
    check_evaluation("bare*.tar", needs_labels=False)
    with pytest.raises(DataError, match=r"'bare\*\.tar' has no labels: write a field 'y' or 'label'"):
        check_evaluation("bare*.tar")


def test_images_in_shards_are_decoded_as_they_are_needed(folder: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    write_tar(Path("photos.tar"), [{"png": png(image), "cls": b"7"} for image in pixels])
    inputs = (InputSpec("photo", (), (None, 4, 5, 3), np.dtype(np.float32)),)
    data = read_labelled("photos.tar", inputs, preprocessing=PREPROCESSINGS["raw"])
    np.testing.assert_array_equal(data.inputs["photo"][np.array([2, 0])], pixels[[2, 0]])
    with pytest.raises(OptionError, match="--preprocess"):
        read_labelled("photos.tar", inputs)
    Path("photo.png").write_bytes(png(pixels[0]))
    for check in (check_evaluation, lambda name: read_labelled(name, inputs)):
        with pytest.raises(DataError, match=r"'\*\.png' matches files of a sample each, which have no labels\. Give a"):
            check("*.png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("named:nothing", "gives no samples"),
        ("named:late", r"'named:late' raised KeyError after item 0: 'late'\."),
        ("absent*.tar", r"no file matches 'absent\*\.tar'"),
    ],
)
def test_what_gives_nothing_usable_is_named(folder: Path, name: str, message: str):
    with pytest.raises(DataError, match=message):
        read_labelled(name, INPUTS)
