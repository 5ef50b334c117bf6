"""The file of names beside a model: found, missing, or of another file; inspect, diff and benchmark with each."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from converters.lowering.stripping import strip_names
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record
from converters.tflite.writer import save
from tfmpq.analysis.diff import diff
from tfmpq.analysis.inspection import inspect
from tfmpq.analysis.per_op import per_op
from tfmpq.names_file import find_names, names_path, with_found_names, write_names

LAYERS = ["stem", "depthwise", "project", "classifier"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, conv_net_float: bytes, conv_net_int8: bytes) -> Path:
    """float.tflite; whole.tflite, and stripped.tflite of it, with and without (alone.tflite) its names."""
    folder = tmp_path_factory.mktemp("names")
    model = load(conv_net_int8)
    model.metadata[METADATA_NAME] = pack_record({"version": "1", "layers": {name: [8, "a", "b", 8] for name in LAYERS}})
    (folder / "float.tflite").write_bytes(conv_net_float)
    (folder / "whole.tflite").write_bytes(save(model))
    stripped, names = strip_names(save(model), keep=("version",))
    for name in ("stripped", "alone"):
        (folder / f"{name}.tflite").write_bytes(stripped)
    write_names(folder / "stripped.tflite", names)
    return folder


def test_where_they_are():
    assert names_path("a/net.int8.tflite") == Path("a/net.int8.names.json")
    assert names_path("net") == Path("net.names.json")


def test_found_missing_and_of_another_file(files: Path, tmp_path: Path):
    stripped = (files / "stripped.tflite").read_bytes()
    whole = (files / "whole.tflite").read_bytes()
    assert with_found_names(files / "stripped.tflite", stripped) == (whole, "")
    assert with_found_names(files / "whole.tflite", whole) == (whole, "")
    content, note = with_found_names(files / "alone.tflite", stripped)
    assert content == stripped
    assert "alone.names.json', which tfmpq wrote with the file, is not there" in note
    assert "give the path" in find_names(stripped, stripped).note
    shutil.copy(files / "stripped.names.json", tmp_path / "other.names.json")
    other, _ = strip_names(whole)  # without the version
    assert "it belongs to another file" in find_names(tmp_path / "other.tflite", other).note
    (tmp_path / "other.names.json").write_text("{}")
    assert "is not used, as it does not say" in find_names(tmp_path / "other.tflite", other).note


def test_inspect(files: Path):
    whole, found, alone = (inspect(files / f"{name}.tflite") for name in ("whole", "stripped", "alone"))
    assert found.weights == whole.weights
    assert found.metadata == whole.metadata
    assert found.file_bytes == len((files / "stripped.tflite").read_bytes()) < whole.file_bytes
    assert [w.op for w in alone.weights] == [w.op for w in whole.weights]
    assert all(w.name.isdigit() for w in alone.weights)
    assert "is not there" in str(alone)
    assert "is not there" not in str(found)


def test_diff(files: Path, images: np.ndarray):
    def compared(second: str):
        samples = [{"image": image[None]} for image in images[:4]]
        return diff(files / "float.tflite", files / f"{second}.tflite", lambda: iter(samples), progress=False)

    whole, found, alone = map(compared, ("whole", "stripped", "alone"))
    assert found.layers == whole.layers
    assert {layer.layer for layer in found.layers} >= set(LAYERS)
    assert not found.notes
    assert len(alone.layers) == len(whole.layers)
    assert all(layer.layer.startswith("op ") for layer in alone.layers)
    assert "alone.names.json" in str(alone)
    assert [layer.own_sqnr_db for layer in alone.layers] == [layer.own_sqnr_db for layer in whole.layers]


def test_time_by_layer(files: Path):
    stripped = (files / "stripped.tflite").read_bytes()
    content, _ = with_found_names(files / "stripped.tflite", stripped)
    assert {row.layer for row in per_op(content, rounds=1, progress=False).rows} >= set(LAYERS)
    rows = per_op(stripped, rounds=1, progress=False).rows
    assert [row.layer for row in rows] == [f"op {row.op}" for row in rows]
