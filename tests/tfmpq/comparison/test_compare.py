"""A small network by all methods, end to end."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfmpq
from tests.support.pipeline import residual
from tfmpq.algorithms import adaround
from tfmpq.comparison.methods import METHODS
from tfmpq.comparison.plot import plot_compare
from tfmpq.comparison.result import MethodComparison
from tfmpq.errors import DataError, MissingDependencyError, OptionError


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    converted = residual()
    return np.concatenate([feed["image"] for feed in converted.samples])


@pytest.fixture(scope="module")
def labelled(images: np.ndarray) -> tfmpq.Labelled:
    """Enough to tell a tenth more bytes (.4 dB on 400 samples) from the noise of activations (.3 dB on 20)."""
    other = np.random.default_rng(1).normal(size=(400, *images.shape[1:])).astype(np.float32)
    return tfmpq.Labelled({"image": other}, np.arange(400) % 4)


@pytest.fixture(scope="module")
def compared(images: np.ndarray, labelled: tfmpq.Labelled) -> MethodComparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaround, "ITERATIONS", 50)
        return tfmpq.compare(
            residual().model.flatbuffer,
            images,
            labelled,
            bits=[4],
            latency=False,
            progress=False,
            lowering="fused",
            score=lambda content: float(len(content)),
        )


def test_every_method_has_a_row_and_a_file(compared: MethodComparison):
    assert [row.method for row in compared.rows] == ["float32", "stock int8", *METHODS]
    assert [(row.method, row.failure) for row in compared.rows if row.failure] == []
    assert all(row.quality is not None and row.bytes for row in compared.rows)
    assert [row.score for row in compared.rows] == [row.file_bytes for row in compared.rows]
    real = compared.rows[0].quality
    assert real is not None
    assert (real.agreement, real.sqnr_db) == (1.0, (np.inf,))
    assert real.kl == pytest.approx(0.0, abs=1e-6)  # float32 probabilities add up to 1 as well as that


def test_rows_are_the_conversions_that_they_stand_for(
    compared: MethodComparison, images: np.ndarray, labelled: tfmpq.Labelled
):
    """The shared measurements change nothing: files have the size and the noise of `tfmpq.convert`'s."""
    plain = {"equalize": "off", "ranges": "minmax", "sensitivity": "energy", "max_points": 1}
    for name, own in (("tfmpq", {}), ("aciq", plain), ("dfq", {**plain, "equalize": "cross_layer"})):
        options: dict[str, Any] = {"algorithm": METHODS[name].algorithm, "budget": METHODS[name].budget, **own}
        result = tfmpq.convert(residual().model.flatbuffer, images, lowering="fused", progress=False, **options)
        row = next(row for row in compared.rows if row.method == name)
        found = tfmpq.evaluate(result.tflite_model, labelled, against=result.float_model).against
        assert found is not None
        assert row.quality is not None
        assert row.quality.sqnr_db == pytest.approx(found.sqnr_db)
        assert row.quality.agreement == pytest.approx(found.agreement)


def test_learned_and_corrected_rounding_is_closer_than_plain(compared: MethodComparison):
    noise = {row.method: row.quality.sqnr_db[0] for row in compared.rows if row.quality}
    assert noise["radix"] > noise["nearest"]
    assert noise["nearest_bias"] > noise["nearest"]
    assert noise["tfmpq"] >= noise["tfmpq_0"]


def test_copied_columns_are_counted_as_such(compared: MethodComparison):
    row = next(row for row in compared.rows if row.method == "ocs")
    assert row.bytes is not None
    assert row.file_bytes is not None
    assert row.bytes < row.file_bytes  # 4-bit rows and a tenth more, not int8 rows
    assert "counted with copied columns" in str(compared)
    assert all(row.bytes == row.file_bytes for row in compared.rows if row.method != "ocs")


def test_tables_are_written(compared: MethodComparison, tmp_path: Path):
    paths = compared.save(tmp_path, made_by={"tool": "test"})
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "compare.csv").read_text())))
    assert [row["method"] for row in rows] == [row.method for row in compared.rows]
    content = json.loads((tmp_path / "compare.json").read_text())
    assert content["made_by"] == {"tool": "test"}
    assert content["rows"][2]["method"] == "nearest"
    assert content["rows"][2]["agreement"] is not None
    assert (tmp_path / "compare.md").read_text().count("\n| ") == len(rows) + 2  # header and rule


def test_plot(compared: MethodComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plot_compare(compared, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tfmpq\[plot\]'"):
        plot_compare(compared, tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


def test_a_method_that_fails_says_why_and_others_go_on(
    images: np.ndarray, labelled: tfmpq.Labelled, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any) -> Any:
        raise tfmpq.ConversionError("no such rounding today")

    monkeypatch.setattr("tfmpq.comparison.compare.points_again", refuse)
    found = tfmpq.compare(
        residual().model.flatbuffer,
        images,
        labelled,
        bits=[4],
        methods=["aciq", "tfmpq"],
        latency=False,
        progress=False,
    )
    assert [(row.method, row.failure) for row in found.rows[2:]] == [
        ("aciq", "no such rounding today"),
        ("tfmpq", ""),
    ]
    assert "aciq, 4 bits, failed: no such rounding today" in str(found)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"methods": ["magic"]}, OptionError, "'magic' is none; give a list of nearest"),
        ({"methods": []}, OptionError, "is none; give a list"),
        ({"bits": [1]}, OptionError, "bits"),
        ({"bits": 4}, OptionError, "give a list of whole numbers"),
        ({"algorithm": "radix"}, TypeError, "unexpected keyword argument 'algorithm'"),
    ],
)
def test_bad_options_are_said_before_any_work(changed: Any, error: type[Exception], message: str):
    data = tfmpq.Labelled({"image": np.zeros((1, 2))}, None)
    with pytest.raises(error, match=message):
        tfmpq.compare("nothing.keras", np.zeros((1, 2)), data, **changed)


def test_labels_beyond_the_classes_are_refused(images: np.ndarray, labelled: tfmpq.Labelled):
    wrong = tfmpq.Labelled(labelled.inputs, np.full(400, 1000))
    with pytest.raises(DataError, match=r"^sample 0 has label 1000, but the model has"):
        tfmpq.compare(residual().model.flatbuffer, images, wrong, methods=["nearest"], progress=False)
