"""What is trained, and the tables of what came out; one tiny network all the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.tflite.reader import load
from tests.support.pipeline import image_feeds, residual_model
from tools.research.training import chart
from tools.research.training.__main__ import measure, parse
from tools.research.training.latency import file_of
from tools.research.training.latency import measure as times_of
from tools.research.training.measure import Schedule
from tools.research.training.methods import METHODS, STUDENTS, WIDTHS, Widths, form_of, rows
from tools.research.training.subjects import Subject
from tools.research.training.tables import chosen, write_tables


@pytest.mark.parametrize("text", ["W4A8", "W2A2", "W3A3"])
def test_widths(text: str):
    assert str(Widths.parse(text)) == str(Widths.parse(text.lower())) == text


@pytest.mark.parametrize("text", ["4", "W4", "A4W4", "W4A", "W4A08", "W4 A8"])
def test_other_words_are_no_widths(text: str):
    with pytest.raises(ValueError, match="are no widths"):
        Widths.parse(text)


def test_what_is_measured():
    found = [(method, str(wide)) for method, wide in rows(METHODS, WIDTHS)]
    assert len(found) == len(set(found))
    assert {method for method, _ in found} == set(METHODS)
    assert {wide for method, wide in found if method == "LG-LSQ"} == {str(wide) for wide in WIDTHS}
    assert [wide for method, wide in found if method == "TTQ"] == ["W2A8"]
    assert {wide for method, wide in found if "without" in method} == {"W3A8"}


def test_options():
    options = parse(["--zoo", "here", "--output", "there", "--widths", "w3a3", "--methods", "LSQ"])
    assert (options.widths, options.methods, options.seeds) == ([Widths(3, 3)], ["LSQ"], [0, 1, 2])


def row(method: str, widths: str, *trained: float) -> dict[str, Any]:
    made_by = {"when": "today", "command": "how", "images": 10, "test": 5, "epochs": 2, "batch_size": 4, "rate": 0.001}
    made_by.update(norms="trained", varied=widths == "W2A2")
    return {
        **{"method": method, "widths": widths, "start": 10.0 if trained else None, "trained": trained, "file": 70.0},
        **{"compact": 2000, "deflated": 1500, "seconds": 30.0 if trained else 0.0},
        "made_by": {**made_by, "seeds": [0, 1, 2]},
    }


def test_tables_have_means_and_spreads(tmp_path: Path):
    lines = [row("LSQ", "W2A2", 60.0, 62.0, 64.0), row("LSQ", "W3A8", 80.0, 80.0, 80.0), row("float32", "W32A32")]
    (tmp_path / "net.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ratios = {"one operator a layer": 1.25, "float32": 1.5}
    (tmp_path / "latency.json").write_text(json.dumps({"net": {"when": "then", "command": "so", "ratios": ratios}}))
    write_tables(tmp_path)
    page = (tmp_path / "tables.md").read_text()
    usual, varied = (f"| LSQ | 10 x 2{words} | 0.001* | 10.00 |" for words in ("", ", varied"))
    cells = ["| W32A32 | float32 |", f"| W3A8 {usual} 80.00 (0.00) |", f"| W2A2 {varied} 62.00 (2.00) |"]
    places = [page.index(text) for text in cells]
    assert places == sorted(places)
    assert page.count("\n| LSQ |  | 80.00 (0.00) |  |  |  | 62.00 (2.00) |\n") == 1
    columns = {line.split(" | ")[0]: line.split(" | ")[-2] for line in page.splitlines() if line.startswith("| W")}
    assert columns == {"| W32A32": "1.50", "| W3A8": "1.25", "| W2A2": ""}  # each that of its form, where it is known
    assert page.count("Latency: then; `so`") == 1
    assert page.count("today; 5 test images, batches of 4, 3 seeds; `how`") == 1


def test_charts_show_each_method_once_and_what_is_far_below(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lines = [
        row("LSQ", "W3A8", 60.0),
        row("LSQ", "W3A8", 62.0, 64.0),
        row("TTQ", "W2A8", 11.0),
        row("LSQ", "W5A5", 70.0),  # has no place among the usual widths
        row("float32", "W32A32"),
    ]
    assert [x["trained"] for x in chosen(lines)] == [(62.0, 64.0), (11.0,)]
    assert chart.main(["--output", str(tmp_path)]) == 1
    assert "has no rows" in capsys.readouterr().err
    (tmp_path / "net.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    drawings = []
    for _ in range(2):
        assert chart.main(["--output", str(tmp_path)]) == 0
        drawings.append((tmp_path / "net.svg").read_text())
    assert drawings[0] == drawings[1]
    assert "<!-- TTQ -->" in drawings[0]
    assert "<!-- 11 -->" in drawings[0]  # 45 is the lower edge
    assert "INQ" not in drawings[0]


def test_conditions_are_those_of_the_method():
    schedule = Schedule(epochs=2, batch_size=4, rate=None, teacher=0.5, seeds=(0,))
    found = {method: schedule.conditions(method) for method in METHODS}
    assert found["INQ"]["norms"] == found["TTQ"]["norms"] == "trained"
    assert found["LG-LSQ"]["norms"] == "frozen"
    assert found["LSQ"]["rate"] == found["LG-LSQ"]["rate"] < found["TTQ"]["rate"]
    assert found["distillation"]["rate"] is None  # it has a loop of its own
    assert replace(schedule, rate=0.5).conditions("TTQ")["rate"] == 0.5


def tiny() -> Subject:
    import keras

    model = residual_model(keras)
    images = np.concatenate([feed["image"] for feed in image_feeds(16)])
    truth = model.predict(images, verbose=0).argmax(1)
    return Subject("tiny", model, images, images, truth, images, truth, varied=True)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_network_all_the_way(tmp_path: Path):
    """Rows are measured once, and a second run goes on with what is missing."""
    subject = tiny()
    assert set(STUDENTS) < set(METHODS)

    def run(*methods: str, epochs: int = 1) -> list[dict[str, Any]]:
        common = ["--zoo", "none", "--output", str(tmp_path), "--epochs", str(epochs), "--batch", "4", "--seeds", "0"]
        measure(subject, parse([*common, "1", "--widths", "W2A8", "--methods", *methods]), "how")
        return [json.loads(line) for line in (tmp_path / "tiny.jsonl").read_text().splitlines()]

    first = run("post-training points", "LSQ")
    assert [x["method"] for x in first] == ["float32", "stock int8", "post-training points", "LSQ"]
    assert [len(x["trained"]) for x in first] == [0, 0, 0, 2]
    assert first[0]["file"] == 100.0  # the labels are its own
    second = run("LSQ", "TTQ")
    assert second[:4] == first
    assert [x["method"] for x in second[4:]] == ["TTQ"]
    third = run("post-training points", "LSQ", epochs=2)  # nothing is trained for points
    assert third[:5] == second
    assert [(x["method"], x["made_by"]["epochs"]) for x in third[5:]] == [("LSQ", 2)]
    assert "| W2A8 | TTQ |" in (tmp_path / "tables.md").read_text()


@pytest.mark.slow
@pytest.mark.nightly
def test_files_of_one_form_have_the_same_operators():
    subject = tiny()
    found: dict[str, set[tuple[str, ...]]] = {}
    for method, wide in rows(list(STUDENTS), WIDTHS):
        if "without" in method or method == "INQ":  # as LG-LSQ; float until it is trained
            continue
        graph = load(file_of(subject, method, wide)).graph
        found.setdefault(form_of(method, str(wide)), set()).add(tuple(op.name for op in graph.ops))
    assert all(len(operators) == 1 for operators in found.values())
    assert len(set.union(*found.values())) == len(found) == 3
    ratios = times_of(subject)
    assert set(ratios) == {*found, "float32", "stock int8"}
    assert ratios["stock int8"] == 1.0
