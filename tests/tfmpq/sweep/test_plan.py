"""The jobs of a sweep, and what makes a row another one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.sweeps import SPEC, write_spec
from tfmpq.sweep.plan import missing, plan_sweep, rows_of
from tfmpq.sweep.spec import read_spec

IMAGES = np.zeros((4, 8, 8, 3), np.float32)


def keys(path: Path, output: Path | None = None) -> dict[str, str]:
    """File -> key of every row."""
    groups = plan_sweep(read_spec(path), output or path.parent / "out", path.parent / "cache")
    return {row["file"]: row["key"] for row in rows_of(groups)}


def test_rows_share_what_is_prepared_and_every_model_has_its_float_and_stock_file(tmp_path: Path):
    text = SPEC + '[[variants]]\nname = "a"\n[[variants]]\nname = "b"\noptions = { bits = 3 }\n'
    groups = plan_sweep(read_spec(write_spec(tmp_path, b"net", IMAGES, text)), tmp_path / "out", tmp_path / "cache")
    files = [[row["file"].removeprefix("files/") for row in group.rows] for group in groups]
    assert files[:2] == [
        ["net/float32.tflite", "net/stock.tflite", "net/a/extra_0.tflite", "net/a/extra_0.3.tflite"],
        ["net/b/extra_0.tflite", "net/b/extra_0.3.tflite"],
    ]
    assert len({key for group in groups for key in (group.prepare["key"], *(r["key"] for r in group.rows))}) == 16
    assert json.loads(json.dumps(groups[1].rows[0])) == groups[1].rows[0]  # plain data, as other engines want it
    done = {row["key"]: {} for row in groups[0].rows} | {groups[1].rows[0]["key"]: {}}
    left = missing(groups, done)
    assert [len(group.rows) for group in left] == [1, 4, 2]
    assert left[0].prepare == groups[1].prepare


def test_where_things_lie_and_when_they_were_written_changes_nothing(tmp_path: Path):
    (tmp_path / "one").mkdir()
    path = write_spec(tmp_path / "one", b"net", IMAGES)
    before = keys(path)
    (tmp_path / "one").rename(tmp_path / "two")
    assert keys(tmp_path / "two/spec.toml", tmp_path / "elsewhere") == before


@pytest.mark.parametrize(
    ("file", "content", "changed"),
    [
        ("net.tflite", b"net2", 8),
        ("calibration.npz", b"data", 8),
        ("test.npz", b"data", 8),
        ("spec.toml", SPEC.replace("[models.net]", "[models.net]\nmax_samples = 3").encode(), 4),
        ("spec.toml", SPEC.replace("[models.net]", "[options]\nbits = 3\n[models.net]").encode(), 8),
        ("spec.toml", SPEC.replace('"extra:0.3"', '"extra:0.3", "like_stock"').encode(), 0),
        ("spec.toml", f'metrics = ["top1"]\n{SPEC}'.encode(), 8),
        ("spec.toml", f'metrics = ["top1", "agreement", "kl", "latency"]\n{SPEC}'.encode(), 0),
    ],
)
def test_what_a_row_depends_on(tmp_path: Path, file: str, content: bytes, changed: int):
    path = write_spec(tmp_path, b"net", IMAGES)
    before = keys(path)
    (tmp_path / file).write_bytes(content)
    after = keys(path)
    assert sum(after[name] != before[name] for name in before) == changed


def test_parts_are_jobs_and_what_they_read_counts(tmp_path: Path):
    for number in range(12):
        (tmp_path / f"{number:02}.tar").write_bytes(b"shard")
    text = SPEC.replace("[models.other]", 'shards = "*.tar"\nparts = 10\n[models.other]')
    path = write_spec(tmp_path, b"net", IMAGES, text)
    net, other = plan_sweep(read_spec(path), tmp_path / "out", tmp_path / "cache")
    assert (len(net.collect), len(other.collect)) == (10, 0)
    assert len({part["key"] for part in net.collect}) == 10
    last = net.collect[-1]
    assert (last["part"], last["file"][:15], last["file"][-12:]) == ([10, 10], "statistics/net/", "/part-10.npz")
    assert net.prepare["collected"] == net.rows[0]["collected"] == [part["file"] for part in net.collect]
    before = keys(path)
    for changed in (lambda: (tmp_path / "03.tar").write_bytes(b"other"), lambda: write(path, text.replace("10", "9"))):
        changed()
        after = keys(path)
        assert {name.split("/")[1] for name in before if before[name] != after[name]} == {"net"}
        again = plan_sweep(read_spec(path), tmp_path / "out", tmp_path / "cache")[0].collect[-1]
        assert Path(again["file"]).parent != Path(last["file"]).parent


def write(path: Path, text: str) -> None:
    path.write_text(text)


def test_a_recipe_counts_by_its_rules(tmp_path: Path):
    text = SPEC.replace("[models.net]", '[options]\nrecipe = "rules.json"\n[models.net]')
    path = write_spec(tmp_path, b"net", IMAGES, text)
    rules = '{"rules": [{"match": "stem", "bits": 8}]}'
    (tmp_path / "rules.json").write_text(rules)
    before = keys(path)
    (tmp_path / "rules.json").write_text(rules.replace(" ", "\n "))
    assert keys(path) == before
    (tmp_path / "rules.json").write_text(rules.replace("8", "6"))
    assert not set(keys(path).values()) & set(before.values())
