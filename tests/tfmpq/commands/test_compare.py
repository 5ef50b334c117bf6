"""`tfmpq compare`, from files to files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.documents import checked
from tests.support.pipeline import residual
from tests.support.shards import npy, write_tar
from tfmpq import cli


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    converted = residual()
    images = np.concatenate([feed["image"] for feed in converted.samples])
    (tmp_path / "net.tflite").write_bytes(converted.model.flatbuffer)
    np.save(tmp_path / "data.npy", images)
    np.savez(tmp_path / "test.npz", x=images[:8], y=np.arange(8))
    write_tar(tmp_path / "test.tar", [{"npy": npy(x), "cls": str(y).encode()} for y, x in enumerate(images[:8])])
    return {name: str(tmp_path / name) for name in ("net.tflite", "data.npy", "test.npz", "test.tar")}


def test_tables_and_plot_are_written(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as where matplotlib is not installed
    folder = tmp_path / "made" / "here"
    arguments = ["compare", files["net.tflite"], f"--data={files['data.npy']}", f"--labelled={files['test.tar']}"]
    code = cli.run([*arguments, f"--output_dir={folder}", "--bits=8", "--methods=ocs", "--noprogress"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert {path.name for path in folder.iterdir()} == {f"compare.{ending}" for ending in ("md", "csv", "json", "html")}
    assert "tfmpq compare: no plot: the plot needs matplotlib: pip install 'tfmpq[plot]'" in shown.err
    content = checked((folder / "compare.json").read_text(), "compare")
    assert [row["method"] for row in content["rows"]] == ["float32", "stock int8", "ocs"]
    assert content["rows"][1]["latency"] == 1.0
    assert content["rows"][2]["latency"] > 0
    assert content["rows"][2]["file_bytes"] == content["rows"][2]["bytes"]  # 8-bit rows hold nothing beside them
    assert content["rows"][2]["bytes"] < 1.1 * content["rows"][1]["bytes"]  # a record is all that is new
    assert content["made_by"]["command"] == "compare"
    assert "ocs: outlier channel splitting" in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--bits=four"], 2, "--bits takes whole numbers"),
        (["--methods=magic"], 2, "'magic' is none; give a list of nearest"),
        (["--output_dir={test.npz}"], 2, "is no directory"),
        (["--data=missing.npy"], 1, "missing.npy"),
        (["--labelled=missing*.tar"], 1, "no file matches 'missing*.tar'"),
        (["--model=missing.keras"], 1, "'missing.keras' does not exist"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    files: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
):
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("converters.frontend.load.load_model", refuse)
    given = {"--model": files["net.tflite"], "--data": files["data.npy"], "--labelled": files["test.npz"]}
    for argument in arguments:
        flag, value = argument.split("=")
        given[flag] = value.replace("{test.npz}", files["test.npz"])
    assert cli.run(["compare", *(f"{flag}={value}" for flag, value in given.items())]) == code
    assert message in capsys.readouterr().err
