"""The models of the Android app: what the tool writes, and that the bundled ones are what it writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import tfmpq
from tfmpq.analysis.evaluation import evaluate
from tfmpq.data.evaluation_set import Labelled, load_labelled
from tfmpq.demo import demo
from tools.android import make_assets as make_android_assets
from tools.android.make_assets import ASSETS, CATALOGUE, Form, evaluation_set, first, make_assets, output_sha256

_LIMIT = 2_000_000  # bytes in the repository and in the APK


def catalogue(folder: Path = ASSETS) -> list[dict]:
    return json.loads((folder / CATALOGUE).read_text())["models"]


def test_the_bundled_files_are_those_of_the_catalogue():
    for entry in catalogue():
        content = (ASSETS / entry["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert [entry["scheme"] for entry in catalogue()] == ["float", "stock int8", "auto", "parallel", "compact"]
    listed = {CATALOGUE, *(entry[field] for entry in catalogue() for field in ("file", "evaluation"))}
    assert {path.name for path in ASSETS.iterdir()} == listed
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < _LIMIT


def test_the_catalogue_says_what_the_bundled_files_compute():
    # Integers are the same on every processor; float outputs, and so the float file's accuracy, need not be.
    head, samples = (ASSETS / "digits.eval").read_bytes().split(b"\n", 1)
    count = json.loads(head)["count"]
    labelled = first(load_labelled(demo.TEST), count)
    assert samples == evaluation_set(labelled).split(b"\n", 1)[1]
    for entry in catalogue()[1:]:
        content = (ASSETS / entry["file"]).read_bytes()
        runs = tfmpq.expand(content) if entry["expand"] else content
        assert {kernels: output_sha256(runs, kernels) for kernels in ("xnnpack", "builtin")} == entry["output_sha256"]
        top1 = evaluate(runs, labelled).top1
        assert top1 is not None
        assert entry["host_accuracy"] == round(100 * top1, 4)


@pytest.mark.slow
@pytest.mark.nightly
def test_the_bundled_files_can_be_made_again(tmp_path: Path):
    bundled = catalogue()[0]
    content = (ASSETS / bundled["file"]).read_bytes()
    if output_sha256(content, "builtin") != bundled["float_output_sha256"]["builtin"]:
        pytest.skip("this processor rounds float operators otherwise than the one that the files were made on")
    make_assets(tmp_path, "digits", demo.MODEL, demo.calibration, first(load_labelled(demo.TEST), 300))
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in ASSETS.iterdir()}
    assert (tmp_path / "digits.eval").read_bytes() == (ASSETS / "digits.eval").read_bytes()
    stock = "digits_stock.tflite"
    if (tmp_path / stock).read_bytes() != (ASSETS / stock).read_bytes():
        pytest.skip("TensorFlow's own int8 file comes out otherwise on this processor, in the last bit of some scales")
    for path in tmp_path.iterdir():
        if path.name != CATALOGUE:
            assert path.read_bytes() == (ASSETS / path.name).read_bytes(), path.name
    assert catalogue(tmp_path) == catalogue()


def test_a_catalogue_keeps_its_other_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = (ASSETS / "digits_stock.tflite").read_bytes()
    monkeypatch.setattr(make_android_assets, "forms", lambda *_: [Form("stock", "stock int8", 8, lambda: content)])
    labelled = first(load_labelled(demo.TEST), 4)
    for network in ("one", "two", "one"):
        make_assets(tmp_path, network, None, None, labelled)
    assert [entry["id"] for entry in catalogue(tmp_path)] == ["two_stock", "one_stock"]
    assert {entry["evaluation"] for entry in catalogue(tmp_path)} == {"one.eval", "two.eval"}


def test_real_values_are_kept_as_floats():
    samples = np.linspace(-1, 1, 12, dtype=np.float64).reshape(2, 2, 3)
    head, data = evaluation_set(Labelled({"x": samples}, np.array([1, 0]))).split(b"\n", 1)
    assert json.loads(head) == {"count": 2, "shape": [2, 3], "type": "float32", "scale": 1.0, "offset": 0.0}
    np.testing.assert_array_equal(np.frombuffer(data[:48], "<f4"), samples.astype(np.float32).reshape(-1))
    assert np.frombuffer(data[48:], "<i4").tolist() == [1, 0]
