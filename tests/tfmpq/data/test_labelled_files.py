"""Labelled samples by name, in every form."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from converters.errors import DataError, OptionError
from converters.frontend.float_model import InputSpec
from tests.support.shards import npy, png, write_parquet, write_tar, write_tfrecord
from tfmpq.analysis.sample_sums import Accuracy
from tfmpq.data.early_check import check_evaluation
from tfmpq.data.evaluation_set import Labelled, check_labelled
from tfmpq.data.labelled_files import is_arrays, read_labelled
from tfmpq.data.preprocessing import PREPROCESSINGS
from tfmpq.data.shards.formats import find_shards
from tfmpq.data.shards.labelled import shard_chunks

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
def scalar():
    yield X[:4], Y[0]
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


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tfrecord", "npz"])
def test_labels_of_some_samples_only_are_refused_whichever_come_first(folder: Path, suffix: str):
    def write(name: str, labels: list[bool]) -> None:
        path = Path(f"{name}.{suffix}")
        if suffix == "npz":
            x, y = DATA[: len(labels)], LABELS[: len(labels)]
            np.savez(path, x=x, y=y) if all(labels) else np.savez(path, x=x)
        elif suffix == "tfrecord":
            write_tfrecord(
                path, [{"x": a, **({"y": 1} if labelled else {})} for a, labelled in zip(DATA, labels, strict=False)]
            )
        else:
            samples = [
                {"npy": npy(a), **({"cls": b"1"} if labelled else {})}
                for a, labelled in zip(DATA, labels, strict=False)
            ]
            write_tar(path, samples, "w:gz" if suffix == "tar.gz" else "w")

    gap = 0 if suffix == "npz" else 1  # whose fields are those of all its samples
    write("mixed0", [False, False])
    write("mixed1", [True, True] if suffix == "npz" else [False, True])
    write("mixed2", [True, True])
    write("mixed3", [False, False] if suffix == "npz" else [True, False])
    first_without = (
        rf"shard 'mixed1\.{suffix}', sample {gap}: its field '\w+' is a label, and the first sample has none"
    )
    first_with = rf"shard 'mixed3\.{suffix}', sample {gap}: its fields are '\w+', and none of them is a label"
    shards = find_shards(f"mixed[01].{suffix}")
    assert shards is not None
    for read in (
        lambda: read_labelled(f"mixed[01].{suffix}", INPUTS),
        lambda: list(shard_chunks(shards, shards.files, INPUTS, None)),
    ):
        with pytest.raises(DataError, match=first_without):
            read()
    with pytest.raises(DataError, match=first_with):
        read_labelled(f"mixed[23].{suffix}", INPUTS)


def test_what_is_wrong_with_a_label_is_said_with_its_shard_and_its_number_in_there(folder: Path):
    for number, labels in enumerate(([0, 1], [2, -3], ["4", "cat"], [5, 99])):
        np.savez(f"wrong{number}.npz", x=DATA[:2], y=np.array(labels))
    for name, wrong in (("[01]", r"sample 1 of shard 'wrong1\.npz' has -3"), ("[02]", r"'wrong2\.npz' has 'cat'")):
        with pytest.raises(DataError, match=r"'y' must hold class numbers 0, 1, 2, \.\.\., but is .*" + wrong):
            check_labelled(read_labelled(f"wrong{name}.npz", INPUTS))
    data = read_labelled("wrong[03].npz", INPUTS)
    with pytest.raises(DataError, match=r"^sample 1 of shard 'wrong3\.npz' has label 99, but the model has 10 classes"):
        list(map(partial(Accuracy(data.labels, data.place).add, output=np.eye(10)[:1]), range(4)))


def test_a_folder_of_shards_is_told_from_one_of_images(folder: Path):
    Path("tr").mkdir()
    for name, pattern in (("0.tar", r"tr/\*\.tar"), ("0.tfrecord-00000-of-00002", r"tr/\*\.tfrecord-\*")):
        write_tar(Path("tr", name), [{"npy": npy(DATA[0])}])
        for check in (check_evaluation, lambda path: read_labelled(path, INPUTS)):
            with pytest.raises(
                DataError, match=rf"'tr' holds shards and no class folders: give a quoted glob, '{pattern}'"
            ):
                check("tr")
        Path("tr", name).unlink()


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
        ("named:scalar", r"item 0 of 'named:scalar' has a single label, no array of them, for 4 samples\. Yield"),
        ("named:late", r"'named:late' raised KeyError after item 0: 'late'\."),
        ("absent*.tar", r"no file matches 'absent\*\.tar'"),
    ],
)
def test_what_gives_nothing_usable_is_named(folder: Path, name: str, message: str):
    with pytest.raises(DataError, match=message):
        read_labelled(name, INPUTS)
