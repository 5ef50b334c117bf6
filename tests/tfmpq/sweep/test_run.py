"""Sweeps from spec to summary, by jobs that are made up: what is done, done again, kept and told."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import OptionError
from tests.support.sweeps import SPEC, made_up, write_spec
from tfmpq.sweep.collection import COLLECT
from tfmpq.sweep.jobs import PREPARE, ROW
from tfmpq.sweep.run import open_sweep, run_sweep

pytestmark = pytest.mark.usefixtures("only_keras_classes")

IMAGES = np.zeros((4, 8, 8, 3), np.float32)
Jobs = list[tuple[str, str, str]]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write_spec(tmp_path, b"net", IMAGES)


@pytest.fixture
def broken() -> set[str]:
    """Budgets at which jobs fail; "" is that of the rows without, "prepare" a job of its own."""
    return set()


@pytest.fixture(autouse=True)
def done(monkeypatch: pytest.MonkeyPatch, broken: set[str]) -> Jobs:
    """The jobs that were done, in their order: model, variant, budget."""
    jobs: Jobs = []

    def job(spec: Mapping[str, Any]) -> dict[str, Any]:
        what = spec["budget"] if spec["kind"] == ROW else spec["kind"]
        jobs.append((spec["model"]["name"], spec.get("variant", ""), what))
        if "interrupt" in broken and what == "extra:0.3":
            raise KeyboardInterrupt
        found = made_up(spec)
        return {**found, "error": {"type": "DataError", "message": "broke"}} if what in broken else found

    monkeypatch.setattr("tfmpq.sweep.jobs.job", job)
    return jobs


def sweep(spec: Path, **options: Any) -> Any:
    return run_sweep(spec, processes=0, progress=False, cache="off", **options)


def test_each_model_is_prepared_once_before_its_rows(spec: Path, done: Jobs):
    result = sweep(spec)
    of_net = [("net", "default", PREPARE), ("net", "float32", ""), ("net", "stock", "")]
    of_net += [("net", "default", "extra:0"), ("net", "default", "extra:0.3")]
    assert done == [*of_net, *(("other", *what) for _, *what in of_net)]
    folder = spec.with_suffix("")
    assert (result.folder, result.asked, len(result.rows), result.failed) == (folder, 8, 8, [])
    assert (folder / "files/net/default/extra_0.3.tflite").read_bytes().startswith(b"net default extra:0.3")
    assert not (folder / ".scratch").exists()
    del done[:]
    assert sweep(spec).rows == result.rows
    assert done == []


def test_a_failed_row_stops_no_other_and_is_done_again_when_asked(spec: Path, done: Jobs, broken: set[str]):
    broken.add("extra:0.3")
    result = sweep(spec)
    assert (len(result.rows), [row["budget"] for row in result.failed]) == (8, ["extra:0.3"] * 2)
    folder = result.folder
    assert "6 of 8, 2 failed" in str(result)
    assert "other default extra:0.3: DataError: broke" in (folder / "summary.md").read_text()
    with open(folder / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] for row in rows if row["budget"] == "extra:0.3"] == ["DataError: broke"] * 2
    assert {row["top1"] for row in rows if row["budget"] == "extra:0"} == {"0.5"}
    broken.clear()
    del done[:]
    assert len(sweep(spec).failed) == 2
    assert done == []
    assert sweep(spec, retry_failed=True).failed == []
    assert [what for _, _, what in done] == [PREPARE, "extra:0.3"] * 2
    keys = [json.loads(line)["key"] for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 8


def test_where_preparing_fails_its_rows_fail_with_it(spec: Path, done: Jobs, broken: set[str]):
    broken.add(PREPARE)
    result = sweep(spec)
    assert len(result.failed) == 8
    assert [what for _, _, what in done] == [PREPARE] * 2


def test_parts_are_collected_before_anything_is_prepared(spec: Path, done: Jobs, broken: set[str]):
    for number in range(2):
        (spec.parent / f"{number}.tar").write_bytes(b"shard")
    models = SPEC.replace("[models.other]", 'shards = "*.tar"\nparts = 2\n[models.other]')
    spec.write_text(models + '[[variants]]\nname = "a"\n[[variants]]\nname = "b"\noptions = { names = "strip" }\n')
    assert [row["error"] for row in sweep(spec).failed] == []
    of_net = [(variant, what) for model, variant, what in done if model == "net"]
    assert of_net[:3] == [("", COLLECT), ("", COLLECT), ("a", PREPARE)]
    assert [what for _, what in of_net].count(COLLECT) == 2  # for both variants, whose networks are the same
    broken.add(COLLECT)
    del done[:]
    result = sweep(spec, output_dir=spec.parent / "again")
    assert {row["model"] for row in result.failed} == {"net"}
    assert len(result.failed) == 6
    assert [what for model, _, what in done if model == "net"] == [COLLECT, COLLECT]


def test_an_interrupted_sweep_goes_on_where_it_stopped(spec: Path, done: Jobs, broken: set[str]):
    broken.add("interrupt")
    with pytest.raises(KeyboardInterrupt):
        sweep(spec)
    assert "3 of 8" in (spec.with_suffix("") / "summary.md").read_text()
    broken.clear()
    (spec.with_suffix("") / "files/net/default/.extra_0.3.tflite.0a1b.tmp").touch()  # what a killed process leaves
    del done[:]
    assert len(sweep(spec).rows) == 8
    assert done[:2] == [("net", "default", PREPARE), ("net", "default", "extra:0.3")]
    assert not list(spec.with_suffix("").rglob(".*.tmp"))


def test_rows_that_changed_are_done_again_and_others_are_kept_apart(spec: Path, done: Jobs):
    first = sweep(spec).rows
    del done[:]
    changed = SPEC.replace('"extra:0.3"', '"like_stock"').replace("[models.other]", "[models.third]")
    spec.write_text(changed.replace("[models.net]", "[models.net]\nmax_samples = 3"))
    result = sweep(spec, output_dir=spec.parent / "spec")
    assert [what for model, _, what in done if model == "net"] == [PREPARE, "", "", "extra:0", "like_stock"]
    assert {row["model"] for row in result.rows} == {"net", "third"}
    former = [json.loads(line) for line in (result.folder / "former.jsonl").read_text().splitlines()]
    assert former == list(first)
    del done[:]
    spec.write_text(SPEC)  # rows whose file nobody has written over are still good
    assert sweep(spec).rows == [*first]
    assert [what for _, _, what in done] == [PREPARE, "", "", "extra:0"]


def test_two_sweeps_in_a_folder_are_refused(spec: Path):
    with open_sweep(spec, cache="off") as first:
        assert [len(group.rows) for group in first.left] == [4, 4]
        with pytest.raises(OptionError, match="another sweep is running"):
            sweep(spec)
        for group in first.left:  # an engine of one's own
            first.record(made_up(group.prepare))
            for row in 2 * list(group.rows):  # engines do tasks again
                first.record(made_up(row))
        assert first.left == []
        assert len(first.result().rows) == len((first.folder / "results.jsonl").read_bytes().splitlines()) == 8


def test_progress_tells_rows_done_running_and_failed(spec: Path, broken: set[str], capsys: pytest.CaptureFixture[str]):
    broken.add("extra:0")
    run_sweep(spec, processes=0, cache="off")
    last = capsys.readouterr().err.split("\r")[-1]
    assert "8/8" in last
    assert "0 running, 2 failed" in last


def test_latency_is_measured_when_all_rows_are_there(spec: Path, monkeypatch: pytest.MonkeyPatch):
    def ratios(names: list[str], read: Any, *, reference: bytes) -> Any:
        read_all = [read(name) for name in names]
        assert reference in read_all
        yield names, 1.5

    monkeypatch.setattr("tfmpq.sweep.latency.many_latency_ratios", ratios)
    monkeypatch.setattr("tfmpq.sweep.latency.runnable", lambda variant, content: content)
    sweep(spec)
    spec.write_text(f'metrics = ["top1", "agreement", "kl", "latency"]\n{SPEC}')
    result = sweep(spec)
    assert [row["latency"] for row in result.rows] == [1.5] * 8
    assert "1.50" in str(result)
    monkeypatch.setattr("tfmpq.sweep.latency.many_latency_ratios", None)
    assert sweep(spec).rows == result.rows  # measured once
