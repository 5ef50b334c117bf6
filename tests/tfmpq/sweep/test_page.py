"""The page of a sweep has every row, and the layers of as many as there is room for."""

from __future__ import annotations

import json

from tests.support.pages import read_page, sweep, sweep_rows
from tfmpq.html.page import to_html
from tfmpq.sweep.page_data import layers_data
from tfmpq.sweep.summary import label


def test_rows_points_and_layers_go_together():
    rows = sweep_rows(2, 3, 4)
    tree = read_page(to_html(sweep(2, 3, 4)))
    (table,) = tree.all("table", class_="named")
    (body,) = table.all("tbody")
    assert [next(row.all("th")).text() for row in body.all("tr")] == [label(row) for row in rows]
    ids = {row.attributes["id"] for row in body.all("tr")}
    points = [point.attributes["href"] for point in tree.all("a", class_="point")]
    assert {str(href)[1:] for href in points} <= ids
    # Agreement and top-1, over size and over latency, of every row but float's.
    assert len(points) == 4 * 2 * (1 + 3)
    (script,) = tree.all("script", type="application/json")
    data = json.loads(script.text())
    for number, row in enumerate(rows):
        found = data["files"].get(f"row-{number}")
        if "layers" not in row:
            assert found is None
            continue
        assert found["title"] == label(row)
        for (name, bits, form, size, decibels, share), layer in zip(found["layers"], row["layers"], strict=True):
            assert [data["names"][name], bits, data["forms"][form]] == [layer["name"], layer["bits"], layer["lowering"]]
            assert [size, decibels, share] == [layer["bytes"], layer["sqnr_db"], layer["error_share"]]
    assert "ModelError: no layer in" in tree.text()


def test_it_stays_below_500_kb():
    text = to_html(sweep(12, 5, 100))
    assert len(text.encode()) < 500_000
    assert "rows would make this page too large" not in text
    text = to_html(sweep(40, 5, 100))
    assert "rows would make this page too large: they are in results.jsonl" in text


def test_the_last_files_are_left_out():
    layer = {"name": "a", "lowering": "split", "bits": 4, "bytes": 10, "sqnr_db": None, "error_share": 0.5}
    files = [(f"row-{i}", f"file {i}", [layer] * 10) for i in range(5)]
    data, left_out = layers_data(files, most=600)
    assert 0 < left_out < 5
    assert list(data["files"]) == [f"row-{i}" for i in range(5 - left_out)]
    assert len(json.dumps(data["files"])) < 900
