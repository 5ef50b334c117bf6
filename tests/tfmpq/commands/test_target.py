"""``tfmpq target``."""

from __future__ import annotations

import functools
import json

import pytest

from converters.targets import load_target
from tests.support.documents import checked
from tests.support.small_targets import even_clock, tiny_grid
from tfmpq.target import measure
from tfmpq.target.operators import plain


@pytest.fixture
def measured_on(monkeypatch):
    """Has the command measure on given operators, by a clock of its own."""

    def replace(cases):
        quick = functools.partial(measure.measure_target, cases=cases, rounds=1, clock=even_clock())
        monkeypatch.setattr(measure, "measure_target", quick)

    return replace


def test_writes_a_table_that_conversions_take(run, measured_on, tmp_path):
    measured_on(tiny_grid())
    path = tmp_path / "mine.json"
    found = tmp_path / "found.json"
    code, out, err = run("target", "--target=builtin", "-o", path, "--passes=1", "--noprogress", f"--json={found}")
    assert code == 0, err
    assert checked(found.read_text(), "target")["table"] == json.loads(path.read_text())
    assert "%|" not in err  # no progress bar
    assert "operators, mean error 0.0 %" in out
    assert out.splitlines()[-1] == f"written: {path}"
    target = load_target(path)
    assert (target.name, target.kernels) == ("mine", "builtin")
    assert target.measured["command"] == "tfmpq target --target builtin --output mine.json --passes 1"


def test_shows_progress(run, measured_on, tmp_path):
    measured_on(tiny_grid())
    code, _, err = run("target", "--target=builtin", "--output", tmp_path / "mine.json", "--passes=1", "--progress")
    assert (code, "operators on mine" in err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target=xnnpack", "--output=table.txt"], "--output=table.txt: a table is a .json file"),
        (["--target=xnnpack", "--output=nowhere/table.json"], "there is no directory"),
        (["--target=gpu", "--output=table.json"], "xnnpack|builtin"),
        (["--target=xnnpack", "--output=table.json", "--passes=0"], "0 is not a positive integer"),
        (["--output=table.json"], "--target must be given"),
    ],
)
def test_refuses_before_it_measures(run, monkeypatch, tmp_path, arguments, message):
    monkeypatch.setattr(measure, "measure_target", lambda *_, **__: pytest.fail("it measures"))
    monkeypatch.chdir(tmp_path)
    code, out, err = run("target", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_table_that_cannot_be_used_is_not_written(run, measured_on, tmp_path):
    measured_on([plain("ADD", 4, 8)])
    path = tmp_path / "poor.json"
    path.write_text("old")
    code, out, err = run("target", "--target=builtin", "--output", path, "--passes=1", "--noprogress")
    assert (code, out) == (1, "")
    *_, line = err.strip().splitlines()
    assert line.startswith("tfmpq target: the table of ")
    assert path.read_text() == "old"
