"""``tfmpq sweep``: flags, exit codes and JSON; what it does is tested where that is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.documents import checked
from tests.support.sweeps import made_up, write_spec
from tfmpq.sweep.jobs import failed

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec; its jobs are made up, and one budget fails."""

    def run_local(groups: Any, note: Callable[[Any], None], **options: Any) -> None:
        for group in groups:
            for job in (group.prepare, *group.rows):
                wrong = job.get("budget") == "extra:0.3"
                note(failed(job, {"type": "DataError", "message": "broke"}) if wrong else made_up(job))

    monkeypatch.setattr("tfmpq.sweep.run.run_local", run_local)
    return write_spec(tmp_path, b"net", np.zeros((4, 8, 8, 3), np.float32))


def test_failed_rows_are_told_and_are_the_exit_code(run: Run, spec: Path, tmp_path: Path):
    code, out, err = run(
        "sweep",
        spec,
        "--output_dir",
        tmp_path / "out",
        f"--json={tmp_path / 'rows.json'}",
        "--noprogress",
        "--cache=off",
    )
    assert code == 1
    rows = checked((tmp_path / "rows.json").read_text(), "sweep")["rows"]
    assert sum("error" in row for row in rows) == 2
    assert "6 of 8, 2 failed" in out
    assert err.splitlines()[-1].startswith("tfmpq sweep: 2 of 8 rows failed: see '")
    spec.write_text(spec.read_text().replace(', "extra:0.3"', ""))
    code, out, err = run("sweep", spec, "--output_dir", tmp_path / "out", "--quiet", "--json", "--cache=off")
    assert (code, err) == (0, "")
    document = checked(out, "sweep")
    assert (document["asked"], len(document["rows"])) == (6, 6)
    assert document["made_by"]["files"] == {"spec": str(spec), "output_dir": str(tmp_path / "out")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--address=auto"], "--address is for --engine=ray"),
        (["--engine=ray", "--processes=2"], "--processes is for --engine=local"),
        (["--output_dir=net.tflite"], "is no directory"),
        (["--json=spec.toml"], "would overwrite what is read"),
        (["--processes=0"], "processes"),
    ],
)
def test_usage(run: Run, spec: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str):
    monkeypatch.chdir(spec.parent)
    code, _, err = run("sweep", "spec.toml", *arguments)
    assert code == 2
    assert message in err


def test_a_wrong_spec_is_one_line_with_lines(run: Run, spec: Path):
    spec.write_text(f"{spec.read_text()}budget = 1\n[option]\n")
    code, _, err = run("sweep", spec)
    assert code == 2
    line = err.splitlines()[0]
    assert f"{spec}:11: 'budget' is no key of models.other" in line
    assert f"{spec}:12: 'option' is no key; did you mean 'options'?" in line
    assert not spec.with_suffix("").exists()


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("nope://bucket/x", 2, "'nope://bucket/x': Protocol not known: nope. Give the URL of a store"),
        ("s3://", 2, "'s3://' is no URL of a folder: it names nothing but the store."),
        ("s3://bucket/x", 1, "'s3://bucket/x' needs a further package: Install s3fs to access S3"),
        (
            "odd://bucket/x",
            1,
            "[Errno 2] The specified bucket does not exist: 'odd://bucket/x/sweep.lock/00000001.json'",
        ),
    ],
)
def test_stores_that_cannot_be_used(
    run: Run, spec: Path, url: str, code: int, message: str, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("fsspec")
    from tests.support.stores import odd_store

    def no_bucket(path: str, there: bool) -> None:
        raise FileNotFoundError("The specified bucket does not exist")

    monkeypatch.setitem(sys.modules, "s3fs", None)
    with odd_store(no_bucket):
        found, out, err = run("sweep", spec, f"--output_dir={url}", "--quiet", f"--cache={spec.parent / 'cache'}")
    assert (found, out) == (code, "")
    assert err.splitlines()[0].startswith(f"tfmpq sweep: {message}")
    assert len(err.splitlines()) == (2 if code == 2 else 1)


def test_a_sweep_in_a_store(run: Run, spec: Path):
    pytest.importorskip("fsspec")
    from tests.support.stores import memory_store

    url = "memory://bucket/fleet"
    spec.write_text(spec.read_text().replace(', "extra:0.3"', ""))
    with memory_store():
        code, out, err = run("sweep", spec, f"--output_dir={url}", "--cache=memory://bucket/cache", "--noprogress")
        assert (code, err) == (0, "")
        assert out.splitlines()[-1] == f"charts and layers: {url}/summary.html"
        code, out, _ = run("cache", "list", "--cache=memory://bucket/cache", "--json")
    assert (code, checked(out, "cache")["folder"]) == (0, "memory://bucket/cache")


def test_the_url_of_a_file_is_its_path(run: Run, spec: Path, tmp_path: Path):
    spec.write_text(
        spec.read_text().replace(', "extra:0.3"', "").replace('"net.tflite"', f'"file://{tmp_path}/net.tflite"')
    )
    code, out, _ = run(
        "sweep", spec, f"--output_dir=file://{tmp_path}/out", f"--cache=file://{tmp_path}/cache", "--noprogress"
    )
    assert (code, out.splitlines()[-1]) == (0, f"charts and layers: {tmp_path}/out/summary.html")
    assert (tmp_path / "out/sweep.lock").is_file()
