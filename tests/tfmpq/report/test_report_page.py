"""The page of a conversion says what its report says, and stays small."""

from __future__ import annotations

import math
import re

from tests.support.pages import HOSTILE, Element, read_page, report
from tests.support.reports import LAYER, make
from tfmpq.html.page import to_html
from tfmpq.recipe.rules import Recipe
from tfmpq.report.report import Report


def page_of(made: Report) -> Element:
    return read_page(to_html(made.page("net.tflite")))


def test_it_holds_the_numbers_of_the_report():
    made = report(12)
    page = page_of(made)
    (table,) = (t for t in page.all("table", class_="named"))
    (body,) = table.all("tbody")
    for number, (row, layer) in enumerate(zip(body.all("tr"), made.layers, strict=True)):
        assert row.attributes["id"] == f"layer-{number}"
        cells = [cell for cell in row.children if isinstance(cell, Element)]
        values = [cell.attributes.get("data-value") for cell in cells]
        assert cells[0].text() == layer.name
        assert values[1:3] == [str(layer.bits), str(layer.bytes_after)]
        assert float(values[4] or "") == float(f"{layer.sqnr_db:.6g}")
        (bar,) = cells[2].all("rect", class_=f"bits{layer.bits}")
        largest = max(max(each.bytes_before, each.bytes_after) for each in made.layers)
        assert math.isclose(float(bar.attributes["width"] or ""), 100 * layer.bytes_after / largest, abs_tol=0.051)
        rule = cells[-1].text()
        assert (rule == "") == (layer.bits == 8)
        if rule:
            (found,) = Recipe.from_json(f'{{"rules": [{rule}]}}').rules
            assert found.matches(layer.name)
            assert found.bits == 8
    assert [square.has("class_", "taken") for square in page.all("li") if square.attributes] == [
        operator.delegated for operator in made.operators
    ]
    # All that is read in a terminal is on the page too, but for the table of layers.
    said = re.sub(r"\s+", " ", page.text())
    for label, text in (entry for block in made.blocks() for entry in getattr(block, "entries", ())):
        assert re.sub(r"\s+", " ", f"{label}{text}").strip() in said
    low, high = 75, 98  # of 23 of 25 by Wilson
    assert f"{low}-{high} % (95 % interval)" in said


def test_it_is_small_and_the_same_each_time():
    text = to_html(report(100, name="efficientnet_lite0/blocks_{}/expand_conv/pointwise_convolution").page())
    assert len(text.encode()) < 500_000
    assert text == to_html(report(100, name="efficientnet_lite0/blocks_{}/expand_conv/pointwise_convolution").page())


def test_what_was_not_measured_is_not_drawn(tmp_path):
    made = make(proxies=None, lowering_costs=())
    page = page_of(made)
    assert list(page.all("svg", class_="chart")) == []
    assert "not measured" in page.text()
    exact = make(layers=(LAYER,), proxies=None)
    exact.save_html(tmp_path / "page.html", title=HOSTILE)
    assert "window.hacked" in next(read_page((tmp_path / "page.html").read_text("utf-8")).all("h1")).text()
