from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.errors import DataError, OptionError
from converters.frontend.float_model import InputSpec
from tfmpq.data.class_folders import find_classes, read_class_names
from tfmpq.data.evaluation_set import check_labelled
from tfmpq.data.labelled_files import read_labelled
from tfmpq.data.preprocessing import PREPROCESSINGS

INPUTS = [InputSpec("image", (), (None, 4, 6, 3), np.dtype(np.float32))]
RAW = PREPROCESSINGS["raw"]


def photos(path: Path, **counts: int) -> Path:
    """A directory with so many images in each folder; all pixels of an image are its number."""
    number = 0
    for folder, count in counts.items():
        (path / folder).mkdir(parents=True)
        for _ in range(count):
            Image.new("RGB", (8, 8), (number,) * 3).save(path / folder / f"{number}.png")
            number += 1
    return path


def test_folders_are_numbered_in_alphabetical_order(tmp_path):
    data = check_labelled(read_labelled(photos(tmp_path, dog=2, cat=1), INPUTS, preprocessing=RAW, classes=2))
    assert data.labels is not None
    assert (data.count, data.labels.tolist()) == (3, [0, 1, 1])
    images = data.inputs["image"]
    assert (images.shape, images.dtype) == ((3, 4, 6, 3), np.float32)
    assert images[np.array([0, 2])][:, 0, 0, 0].tolist() == [2, 1]  # the cat, and the second dog


def test_folders_called_by_numbers_are_those_classes(tmp_path):
    path = photos(tmp_path, **{"10": 1, "2": 1})
    data = read_labelled(path, INPUTS, preprocessing=RAW, classes=1000)
    assert data.labels is not None
    assert data.labels.tolist() == [10, 2]


def test_names_say_which_classes_the_folders_are(tmp_path):
    path = photos(tmp_path / "photos", dog=1, cat=1)
    with pytest.raises(DataError, match=r"2 class folders, but the model has 3 classes.*--classes"):
        read_labelled(path, INPUTS, preprocessing=RAW, classes=3)
    (tmp_path / "labels.txt").write_text("bird\ndog\ncat\n\n")
    names = read_class_names(tmp_path / "labels.txt")
    assert names == ["bird", "dog", "cat"]
    assert [number for _, number in find_classes(path, names)] == [2, 1]
    with pytest.raises(DataError, match="folder 'dog' is none of the 2 classes"):
        find_classes(path, ["cat", "bird"])
    for text in ("", "a\na\n"):
        (tmp_path / "labels.txt").write_text(text)
        with pytest.raises(DataError, match="hold a name twice"):
            read_class_names(tmp_path / "labels.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_class_names(tmp_path / "absent.txt")


def test_what_are_no_class_folders_is_refused(tmp_path):
    with pytest.raises(DataError, match="no class folders"):
        find_classes(tmp_path)
    photos(tmp_path, cat=1)
    with pytest.raises(OptionError, match="--preprocess"):
        read_labelled(tmp_path, INPUTS)
    Image.new("RGB", (8, 8)).save(tmp_path / "lost.png")
    with pytest.raises(DataError, match="no class folders"):
        find_classes(tmp_path)


def test_hidden_and_empty_folders_do_not_count(tmp_path):
    path = photos(tmp_path, **{"3": 1, "7": 1})
    for name in (".ipynb_checkpoints", "notes"):
        (path / name).mkdir()
    data = read_labelled(path, INPUTS, preprocessing=RAW, classes=10)
    assert data.labels is not None
    assert data.labels.tolist() == [3, 7]


def test_names_are_as_many_as_the_model_has_classes(tmp_path):
    path = photos(tmp_path, dog=1, cat=1)
    with pytest.raises(DataError, match=r"2 names of classes are given, but the model has 1001 classes"):
        read_labelled(path, INPUTS, preprocessing=RAW, names=["cat", "dog"], classes=1001)
