"""Sweeps whose folder is in a store: the same rows as on disk, whatever happens to the process or the store."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fsspec")

import fsspec

from converters.errors import OptionError
from tests.support.stores import Gone, OddStore, memory_store, odd_store
from tests.support.sweeps import SPEC, made_up, write_spec
from tfmpq.storage import Remote
from tfmpq.sweep import lease
from tfmpq.sweep.jobs import PREPARE
from tfmpq.sweep.run import open_sweep, run_sweep

pytestmark = pytest.mark.usefixtures("only_keras_classes")

IMAGES = np.zeros((4, 8, 8, 3), np.float32)
URL, MEMORY = "odd://bucket/fleet", "memory://bucket/fleet"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("_PATIENCE", "_LOOK"):
        monkeypatch.setattr(lease, name, 0.0)
    return write_spec(tmp_path, b"net", IMAGES)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the rows that were done, in their order."""
    keys: list[str] = []

    def job(spec: Mapping[str, Any]) -> dict[str, Any]:
        if spec["kind"] != PREPARE:
            keys.append(spec["key"])
        try:
            return made_up(spec)
        except OSError as error:  # as jobs do
            return {**made_up({**spec, "kind": PREPARE}), "kind": "row", **described(spec, error)}

    monkeypatch.setattr("tfmpq.sweep.jobs.job", job)
    return keys


def described(spec: Mapping[str, Any], error: OSError) -> dict[str, Any]:
    message = {"error": {"type": type(error).__name__, "message": str(error)}}
    return {"budget": spec["budget"], "file": spec["file"], **message}


def sweep(spec: Path, output_dir: str | Path = URL, **options: Any) -> Any:
    return run_sweep(spec, output_dir, **{"processes": 0, "progress": False, "cache": "off", **options})


def plain(rows: Any) -> list[dict[str, Any]]:
    """What does not depend on where and when."""
    return [{name: value for name, value in row.items() if name not in ("seconds", "host")} for row in rows]


def lines(folder: Remote) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


def test_the_folder_is_as_it_is_on_disk(spec: Path, done: list[str]):
    on_disk = sweep(spec, spec.parent / "out")
    with memory_store():
        result = sweep(spec, "memory://bucket/fleet/")
        assert result.rows == on_disk.rows
        assert str(result.folder) == MEMORY
        objects = {
            name[len("/bucket/fleet/") :]: file.getvalue() for name, file in fsspec.filesystem("memory").store.items()
        }
    files = {str(file.relative_to(on_disk.folder)): file for file in on_disk.folder.rglob("*") if file.is_file()}
    assert {name for name in objects if "sweep.lock" not in name} == {name for name in files if name != "sweep.lock"}
    for name, content in objects.items():
        if "sweep.lock" not in name and not name.endswith(".html"):  # pages name the folder
            assert content == files[name].read_bytes(), name


def test_killed_before_or_after_anything_is_put_it_goes_on(spec: Path, done: list[str]):
    """A process that is killed puts nothing more; every put, and the moment after it, is one to be killed at."""
    whole = sweep(spec, spec.parent / "out")
    puts = 0

    def count(path: str, there: bool) -> None:
        nonlocal puts
        puts += 1

    with odd_store(count):
        sweep(spec)
    for moment in range(1, puts + 1):
        left = [moment]

        def kill(path: str, there: bool, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] <= 0:
                raise Gone

        del done[:]
        with odd_store(kill):
            with suppress(Gone):
                sweep(spec)
            OddStore.watch = staticmethod(lambda path, there: None)
            result = sweep(spec)
            assert plain(result.rows) == plain(whole.rows)
            assert sorted(row["key"] for row in lines(result.folder)) == sorted(row["key"] for row in whole.rows)
            assert len(done) <= 8 + 1, "only what was under way is done again"


def test_a_store_that_fails_is_a_row_or_the_end_and_the_sweep_goes_on(spec: Path, done: list[str]):
    def full(path: str, there: bool) -> None:
        if path.endswith("other/default/extra_0.tflite") and not there:
            raise OSError(28, "No space left on device")

    with odd_store(full):
        result = sweep(spec)
        message = f"[Errno 28] No space left on device: '{URL}/files/other/default/extra_0.tflite'"
        assert [row["error"] for row in result.failed] == [{"type": "OSError", "message": message}]

        def unreachable(path: str, there: bool) -> None:
            if "/results/" in path or "summary" in path:
                raise RuntimeError("no route to host")

        OddStore.watch = staticmethod(unreachable)
        with pytest.raises(OSError, match=rf"no route to host: '{URL}/summary.md'"):
            sweep(spec, retry_failed=True)
        OddStore.watch = staticmethod(lambda path, there: None)
        del done[:]
        assert sweep(spec, retry_failed=True).failed == []
        assert len(done) == 1


def test_a_store_that_cannot_be_reached_says_nothing_of_files(spec: Path, done: list[str]):
    def refuse(path: str, there: bool) -> None:
        if path.endswith("stock.tflite"):
            raise PermissionError("Access Denied")

    with odd_store():
        sweep(spec)
        del done[:]
        OddStore.watch = staticmethod(refuse)
        with pytest.raises(PermissionError, match="Access Denied"):
            sweep(spec)
        OddStore.watch = staticmethod(lambda path, there: None)
        (Remote(URL) / "files/net/stock.tflite").write_bytes(b"another")
        sweep(spec)
        assert len(done) == 1  # that one


def test_two_sweeps_in_a_folder_are_refused(spec: Path, done: list[str]):
    with memory_store(), open_sweep(spec, MEMORY, cache="off") as first:
        with pytest.raises(OptionError, match="another sweep is running in 'memory://bucket/fleet'"):
            sweep(spec, MEMORY)
        for group in first.left:
            for row in 2 * list(group.rows):
                first.record(made_up(row))
        assert len(first.result().rows) == 8


def test_nothing_is_recorded_once_another_has_taken_over(spec: Path, done: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "_BEAT", 0.01)

    def record() -> None:
        with open_sweep(spec, MEMORY, cache="off") as first:
            (Remote(MEMORY) / "sweep.lock/00000002.json").write_bytes(b"{}")
            time.sleep(0.5)  # many counts
            first.record(made_up(first.groups[0].rows[0]))

    with memory_store():
        with pytest.raises(OptionError, match="another sweep has taken over"):
            record()
        assert Remote(f"{MEMORY}/results").files() == {}


def test_latencies_are_kept_there(spec: Path, done: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tfmpq.sweep.latency.many_latency_ratios", lambda names, read, *, reference: [(names, 1.5)])
    monkeypatch.setattr("tfmpq.sweep.latency.runnable", lambda variant, content: content)
    spec.write_text(f'metrics = ["top1", "latency"]\n{SPEC}')
    with memory_store():
        assert [row["latency"] for row in sweep(spec, MEMORY).rows] == [1.5] * 8
        assert (Remote(MEMORY) / "latency.jsonl").read_bytes().count(b"\n") == 8
        assert (Remote(MEMORY) / "latency").files() == {}


def test_models_and_data_by_url(spec: Path, done: list[str]):
    """Rows are told by content: those that are there stay good."""
    with memory_store():
        for name in ("net.tflite", "calibration.npz", "test.npz"):
            (Remote("memory://bucket/inputs") / name).write_bytes((spec.parent / name).read_bytes())
        whole = sweep(spec, MEMORY)
        del done[:]
        for name in ("net.tflite", "calibration.npz", "test.npz"):
            spec.write_text(spec.read_text().replace(f'"{name}"', f'"memory://bucket/inputs/{name}"'))
        assert sweep(spec, MEMORY).rows == whole.rows
        assert done == []
        (Remote("memory://bucket/inputs/calibration.npz")).write_bytes(b"others")
        sweep(spec, MEMORY)
        assert len(done) == 8
        spec.write_text(SPEC.replace('"calibration.npz"', '"memory://bucket/gone.npz"'))
        with pytest.raises(OptionError, match=r"toml:5: models.net.data: 'memory://bucket/gone.npz' does not exist"):
            sweep(spec, MEMORY)
        spec.write_text(SPEC.replace('"net.tflite"', '"nope://bucket/net.tflite"'))
        with pytest.raises(OptionError, match=r"toml:4: models.net.path: 'nope://.*Protocol not known"):
            sweep(spec, MEMORY)


@pytest.fixture
def slow_store(tmp_path: Path) -> str:
    """A store that other processes reach too: a folder that is asked through fsspec."""
    return f"local://{tmp_path}/store"


@pytest.mark.slow
def test_processes_of_their_own(tmp_path: Path, conv_net_float: bytes, images: np.ndarray, slow_store: str):
    one = SPEC[: SPEC.index("[models.other]")]
    path = write_spec(tmp_path, conv_net_float, images[:16], one)
    usual: dict[str, Any] = {"processes": 1}
    here = sweep(path, tmp_path / "here", cache=tmp_path / "cache", **usual)
    for name in ("net.tflite", "calibration.npz", "test.npz"):
        (Remote(f"{slow_store}/inputs") / name).write_bytes((tmp_path / name).read_bytes())
        path.write_text(path.read_text().replace(f'"{name}"', f'"{slow_store}/inputs/{name}"'))
        (tmp_path / name).unlink()
    there = sweep(path, f"{slow_store}/fleet", cache=f"{slow_store}/cache", **usual)
    assert plain(there.rows) == plain(here.rows)
    assert there.failed == []
    for row in here.rows:
        assert (there.folder / row["file"]).read_bytes() == (here.folder / row["file"]).read_bytes()
    assert [name.partition(".")[2] for name in Remote(f"{slow_store}/cache").files()].count("prepared") == 1
    assert "worker_0.log" in (there.folder / "logs").files()
