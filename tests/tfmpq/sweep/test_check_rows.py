"""``tfmpq check`` of a sweep, whose files are made up and run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.support.documents import checked
from tests.support.rounding_files import rounding_file
from tests.support.sweeps import made_up
from tfmpq.storage import place
from tfmpq.sweep.identity import bytes_digest
from tfmpq.sweep.jobs import ROW, failed
from tfmpq.sweep.run import run_sweep

Run = Callable[..., tuple[int, str, str]]
SPEC = """
budgets = ["extra:0", "extra:0.3"]
[models.net]
path = "net.tflite"
data = "samples.npz"
labelled = "test.npz"
"""
STEPS = {"float32": 1 / 64, "stock": 1 / 16, "extra:0": 1.0, "extra:0.3": 1 / 32}  # coarser files are worse


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep that is done, in the current directory."""
    (tmp_path / "net.tflite").write_bytes(rounding_file(1 / 64))
    x = np.random.default_rng(0).uniform(-4, 4, (600, 8)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=x)
    np.savez(tmp_path / "test.npz", x=x, y=x.argmax(1))
    (tmp_path / "fleet.toml").write_text(SPEC)

    def run_local(groups: Any, note: Callable[[Any], None], **options: Any) -> None:
        for group in groups:
            for job in (group.prepare, *group.rows):
                result = made_up(job)
                if job["kind"] == ROW:
                    content = rounding_file(STEPS[job["budget"] or job["variant"]])
                    (place(job["output"]) / job["file"]).write_bytes(content)
                    result |= {"bytes": len(content), "digest": bytes_digest(content)}
                note(result)

    monkeypatch.setattr("tfmpq.sweep.run.run_local", run_local)
    # These files are not tfmpq's; those of a real sweep are checked in test_jobs.py.
    monkeypatch.setattr("tfmpq.sweep.check_rows.runnable", lambda variant, content: content)
    monkeypatch.chdir(tmp_path)
    run_sweep("fleet.toml", cache="off", progress=False)
    return tmp_path / "fleet.toml"


def test_every_file_is_judged_beside_its_base(run: Run, spec: Path):
    limits = ("--max_drop=2", "--max_bytes=1.0x", "--noprogress")
    code, out, err = run("check", spec, "--against=stock", *limits, "--json=o.json", "--junit=o.xml")
    assert code == 1
    assert err.splitlines()[-1].startswith(
        "tfmpq check: 1 of 2 files did not pass: net default extra:0: max_drop failed: "
    )
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("net default")][:4] == [
        "failed",
        "held",
        "held",
        "held",
    ]
    document = checked(Path("o.json").read_text(), "check_sweep")
    assert [row["verdict"] for row in document["rows"]] == ["failed", "held"]
    assert document["rows"][1]["result"]["file"]["path"] == str(
        spec.with_suffix("") / "files/net/default/extra_0.3.tflite"
    )
    root = ElementTree.parse("o.xml").getroot()
    assert [(suite.get("name"), suite.get("failures")) for suite in root] == [
        ("tfmpq check net default extra:0", "1"), ("tfmpq check net default extra:0.3", "0"),
    ]  # fmt: skip
    assert (root.get("tests"), root.get("failures")) == ("4", "1")


def test_a_former_sweep_is_a_base_and_what_it_lacks_fails(run: Run, spec: Path):
    shutil.copytree("fleet", "former")
    assert run("check", spec, "--against=former", "--max_drop=0.5", "--allow_untold", "--noprogress")[0] == 0
    Path("former/files/net/default/extra_0.tflite").unlink()
    code, out, err = run("check", spec, "--against=former", "--max_bytes=1x", "--noprogress", "--junit=o.xml")
    assert code == 1
    assert "1 of 2 files did not pass: net default extra:0: there is no base for it: no file 'former/" in err
    assert "2 files: 1 held, 0 cannot be told, 1 failed" in out
    assert ElementTree.parse("o.xml").getroot().get("errors") == "1"


def test_a_row_that_failed_does_not_pass(run: Run, spec: Path):
    results = Path("fleet/results.jsonl")
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    wrong = {**rows[-1], **failed({**rows[-1], "model": {"name": "net"}}, {"type": "DataError", "message": "broke"})}
    rows[-1] = {key: value for key, value in wrong.items() if key not in ("file", "bytes")}
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = run("check", spec, "--against=float32", "--max_bytes=9x", "--noprogress")
    assert (code, "net default extra:0.3: the sweep made no file: broke" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--against=stock"], 2, "give at least one limit"),
        (["--against=none", "--max_bytes=1x"], 2, "against=none: for a sweep give float32 or stock, or the folder"),
        (["--against=stock", "--max_drop=1", "--labelled=test.npz"], 2, "--labelled: the spec of a sweep says that"),
        (["--against=stock", "--max_drop=1", "--output_dir=none"], 1, "lacks 4 of 4 rows that"),
    ],
)
def test_what_is_wrong_is_one_line(run: Run, spec: Path, arguments: list[str], code: int, message: str):
    found, out, err = run("check", spec, *arguments, "--noprogress")
    assert (found, out) == (code, "")
    assert message in err


def test_samples_must_be_named(run: Run, spec: Path):
    spec.write_text(SPEC.replace('labelled = "test.npz"\n', "").replace("[models", 'metrics = ["latency"]\n[models'))
    code, _, err = run("check", spec, "--against=stock", "--max_drop=1", "--noprogress")
    assert (code, "names no labelled samples for net, which max_drop" in err) == (2, True)
    assert run("check", "net.tflite", "--against=net.tflite", "--max_bytes=1x", "--output_dir=fleet")[0] == 2


def test_a_sweep_in_a_store_beside_another_in_one(run: Run, spec: Path):
    pytest.importorskip("fsspec")
    from tests.support.stores import memory_store

    limits = ("--max_drop=2", "--noprogress", "--json=-")
    on_disk = checked(run("check", spec, "--against=stock", *limits)[1], "check_sweep")
    with memory_store():
        for url in ("memory://bucket/fleet", "memory://bucket/former"):
            run_sweep(spec, url, cache="off", progress=False)
        _, out, _ = run("check", spec, "--output_dir=memory://bucket/fleet", "--against=stock", *limits)
        in_store = checked(out, "check_sweep")
        code, out, _ = run(
            "check", spec, "--output_dir=memory://bucket/fleet", "--against=memory://bucket/former", *limits
        )
        against = checked(out, "check_sweep")
        assert run("check", spec, "--against=memory://bucket/gone", *limits)[0] == 2
    paths = [row["result"].pop("file")["path"] for row in in_store["rows"]]
    assert paths == [f"memory://bucket/fleet/{row['file']}" for row in in_store["rows"]]
    for row in (*on_disk["rows"], *in_store["rows"]):
        for name in ("file", "against"):
            row["result"].pop(name, None)
    assert in_store["rows"] == on_disk["rows"]
    assert (code, against["verdict"]) == (0, "held")
    assert against["rows"][0]["result"]["against"]["path"].startswith("memory://bucket/former/files/net/default/")
