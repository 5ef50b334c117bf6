"""Jobs with a real network: files and figures, and every error as a result."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfmpq
from tests.support.shards import npy, write_tar
from tests.support.sweeps import write_spec
from tfmpq.data.file_inputs import inputs_and_classes
from tfmpq.gate.limits import Limits
from tfmpq.sweep.check_rows import check_rows
from tfmpq.sweep.figures import figures
from tfmpq.sweep.identity import bytes_digest
from tfmpq.sweep.jobs import job, job_after
from tfmpq.sweep.plan import Group, plan_sweep
from tfmpq.sweep.run import run_sweep
from tfmpq.sweep.spec import read_spec

pytestmark = pytest.mark.usefixtures("only_keras_classes")

ONE = """
budgets = ["extra:0", "bytes:10"]
[models.net]
path = "net.tflite"
data = "calibration.npz"
labelled = "test.npz"
"""


@pytest.fixture
def group(tmp_path: Path, conv_net_float: bytes, images: np.ndarray) -> Group:
    """The jobs of one network in a folder that is being swept."""
    spec = read_spec(write_spec(tmp_path, conv_net_float, images[:16], ONE))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/sweep.lock").touch()
    return plan_sweep(spec, tmp_path / "out", tmp_path / "cache")[0]


def test_a_sweep_of_a_network(tmp_path: Path, conv_net_float: bytes, images: np.ndarray, monkeypatch: Any):
    path = write_spec(tmp_path, conv_net_float, images[:16], ONE)
    evaluated: list[int] = []
    usual = sys.modules["tfmpq.comparison.quality"].outputs_of

    def counted(content: bytes, data: Any) -> Any:
        evaluated.append(len(content))
        return usual(content, data)

    monkeypatch.setattr("tfmpq.sweep.figures.outputs_of", counted)
    result = run_sweep(path, processes=0, cache=tmp_path / "cache", progress=False)
    rows = {(row["variant"], row["budget"]): row for row in result.rows}
    assert [row["error"]["type"] for row in result.failed] == ["BudgetError"]
    real, stock, made = rows["float32", ""], rows["stock", ""], rows["default", "extra:0"]
    for row in (real, stock, made):
        content = (result.folder / row["file"]).read_bytes()
        assert (row["bytes"], row["digest"]) == (len(content), bytes_digest(content))
        assert (row["samples"], row["stock_bytes"]) == (16, stock["bytes"])
        assert {"top1", "top1_error", "agreement", "kl", "sqnr_db", "seconds", "host"} <= set(row)
    assert (result.folder / real["file"]).read_bytes() == conv_net_float
    assert (real["agreement"], real["kl"], real["sqnr_db"]) == (1.0, 0.0, None)
    assert [layer["bits"] for layer in made["layers"]] == [8, 8, 4, 4]
    assert "default extra:0" in (result.folder / "summary.html").read_bytes().decode()
    assert made["sqnr_db"] > 20  # a random network, at 8 and 4 bits: far from noise
    assert evaluated.count(len(conv_net_float)) == 2  # as the reference of all rows, and for its own row
    gate = check_rows(path, None, "stock", Limits(max_bytes_ratio=1.5, min_agreement=0.1))
    assert [(row.file, row.verdict) for row in gate.rows] == [(made["file"], "held"), ("", "failed")]
    assert gate.rows[1].error.startswith("the sweep made no file: ")


@pytest.mark.slow
def test_moments_of_shards_are_collected_once_by_parts_or_are_there(
    tmp_path: Path, conv_net_float: bytes, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    from tests.support.stores import memory_store  # skips without fsspec

    for number in range(3):
        write_tar(tmp_path / f"{number}.tar", [{"npy": npy(image)} for image in images[number::3]])
    one = ONE.replace(', "bytes:10"', "") + 'shards = "*.tar"\nparts = 2\n'
    path = write_spec(tmp_path, conv_net_float, images[:16], one)
    usual = {"processes": 0, "cache": tmp_path / "cache", "progress": False}
    collected = run_sweep(path, tmp_path / "out", **usual)
    assert collected.failed == []
    parts = sorted((tmp_path / "out/statistics/net").rglob("*.npz"))
    assert [part.name for part in parts] == ["part-1.npz", "part-2.npz"]
    made = collected.folder / collected.rows[-1]["file"]
    alone = tfmpq.convert(conv_net_float, images[:16], budget=tfmpq.ExtraBits(0.0), statistics=parts, progress=False)
    assert made.read_bytes() == alone.tflite_model
    with memory_store():
        stored = run_sweep(path, "memory://bucket/fleet", **usual)
        assert stored.failed == []
        assert (stored.folder / stored.rows[-1]["file"]).read_bytes() == made.read_bytes()
        kept = stored.folder / "statistics/net" / parts[0].parent.name
        assert [(kept / part.name).read_bytes() for part in parts] == [part.read_bytes() for part in parts]
        monkeypatch.setattr("tfmpq.collect", lambda *_, **__: pytest.fail("parts that are there are collected again"))
        path.write_text(one.replace('"extra:0"', '"extra:0", "extra:0.3"'))
        assert run_sweep(path, "memory://bucket/fleet", **usual).failed == []
    path.write_text(one.replace('"extra:0"', '"extra:0", "extra:0.3"'))
    assert run_sweep(path, tmp_path / "out", **usual).failed == []
    path.write_text(one.replace('shards = "*.tar"\nparts = 2', 'statistics = "out/statistics/net/*/*.npz"'))
    there = run_sweep(path, tmp_path / "there", **usual)
    assert there.failed == []
    assert (there.folder / there.rows[-1]["file"]).read_bytes() == made.read_bytes()


def test_errors_are_results(group: Group):
    row = group.rows[2]
    for changes, kind, message in (
        ({"model": {**row["model"], "data": "/absent.npz"}}, "DataError", "'/absent.npz' does not exist on host"),
        ({"output": "/absent"}, "OptionError", "output folder '/absent' of the sweep is not there on host"),
        ({"options": {"bits": 11}}, "OptionError", "bits=11 is out of range"),
    ):
        found = job({**row, **changes})
        assert (found["key"], found["error"]["type"]) == (row["key"], kind)
        assert message in found["error"]["message"]
    after = job_after(row, {"error": {"type": "ModelError", "message": "broke"}})
    assert (after["key"], after["error"]["message"]) == (row["key"], "broke")
    assert not Path(row["output"], row["file"]).exists()


def test_top1_needs_labels(group: Group, images: np.ndarray):
    row = group.rows[1]
    np.savez(row["model"]["labelled"], x=images[:4])
    found = job(row)
    assert "has no labels for top1" in found["error"]["message"]
    without = job({**row, "metrics": ["agreement"]})
    assert "error" not in without, without
    assert "top1" not in without
    assert 0 <= without["agreement"] <= 1


def test_any_number_of_labelled_samples_in_shards(
    group: Group, conv_net_float: bytes, conv_net_int8: bytes, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    folder = Path(group.prepare["output"]).parent
    for number, rows in enumerate((range(9), range(9, 16))):
        samples = [{"npy": npy(images[i]), "cls": str(i % 10).encode()} for i in rows]
        write_tar(folder / f"{number}.tar", samples)
    inputs, _ = inputs_and_classes(conv_net_float)

    def measured(labelled: str) -> dict[str, Any]:
        row = {**group.rows[1], "model": {**group.rows[1]["model"], "labelled": labelled}, "samples": labelled}
        return figures(row, conv_net_int8, conv_net_float, inputs)

    wanted = measured(str(folder / "test.npz"))
    assert measured(str(folder / "*.tar")) == wanted
    monkeypatch.setattr("tfmpq.sweep.figures._MOST", 0)  # as of so many samples that nothing but sums is kept
    monkeypatch.setattr("tfmpq.comparison.quality._PART", 5)
    assert measured(str(folder / "*.tar")) == pytest.approx(wanted, rel=1e-12)


def test_a_machine_without_tensorflow_says_so(group: Group, run_python: Callable[..., Any], tmp_path: Path):
    (tmp_path / "job.json").write_text(json.dumps(group.prepare))
    code = """
    import json, sys
    sys.path.insert(0, sys.argv[2])
    from tfmpq.sweep.jobs import job
    print(json.dumps(job(json.load(open(sys.argv[1])))["error"]))
    """
    done = run_python(code, tmp_path / "job.json", os.getcwd(), blocked=("tensorflow",))
    error = json.loads(done.stdout)
    assert error["type"] == "MissingDependencyError", error
    assert "there is no package 'tensorflow' on host" in error["message"]
