"""A comparison's page: a point a file that was measured, with its interval, and the table."""

from __future__ import annotations

from tests.support.pages import read_page
from tfmpq.comparison.page import compare_page
from tfmpq.comparison.quality import Quality
from tfmpq.comparison.result import FLOAT, STOCK, MethodComparison, Row
from tfmpq.html.page import to_html


def test_the_page_of_a_comparison():
    rows = (
        Row(FLOAT, 32, Quality(0.8, 0.04, 1.0, 0.0, (float("inf"),)), None, 4000, 4000, 2.0),
        Row(STOCK, 8, Quality(0.79, 0.04, 0.97, 0.01, (30.0,)), None, 1000, 1000, 1.0),
        Row("nearest", 4, Quality(0.6, 0.05, 0.7, 0.5, (9.0,)), None, 550, 550),
        Row("ocs", 4, failure="it is too small"),
    )
    tree = read_page(to_html(compare_page(MethodComparison("net", 100, rows))))
    tips = [point.attributes["data-tip"] for point in tree.all("a", class_="point")]
    size = "nearest, 4 bits\n550 B, 55.0 % of stock's\nagrees on 70.0 %\ntop-1 60.00 %"
    # Agreement and top-1 over size; over latency, which was not measured of the method, there is stock alone.
    assert tips.count(size) == 2
    assert len(tips) == 2 * (2 + 1)
    assert all(len(list(point.all("line", class_="whisker"))) == 1 for point in tree.all("a", class_="point"))
    assert "ocs, 4 bits, failed: it is too small" in tree.text()
    assert "float32" in tree.text()


def test_without_a_file_to_compare_with_there_is_the_table():
    page = compare_page(MethodComparison("net", 100, (Row(STOCK, 8, failure="no"),)))
    assert list(read_page(to_html(page)).all("figure")) == []
