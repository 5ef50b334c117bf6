"""The page of a benchmark: ratios with their intervals, failed runs, operators."""

from __future__ import annotations

from tests.support.pages import benchmarked, read_page
from tfmpq.html.page import to_html


def test_the_page_of_a_benchmark():
    tree = read_page(to_html(benchmarked()))
    first, second = tree.all("a", class_="point")
    assert list(first.all("line", class_="whisker")) == []  # the first file beside itself has no interval
    assert len(list(second.all("line", class_="whisker"))) == 1
    assert "ratio 1.250 (1.200-1.310)" in (second.attributes["data-tip"] or "")
    said = tree.text()
    for words in ("less than 2.5 % means nothing", "it is loud here", "it is broken", "do without"):
        assert words in said
    widths = [bar.attributes["width"] for bar in tree.all("rect", class_="time")]
    assert widths == ["100", "33.3"]
    taken, left = (square for square in tree.all("li") if square.has("class_", "taken") or square.has("class_", "left"))
    assert taken.has("class_", "taken")
    assert [link.attributes["data-tip"] for link in left.all("a")] == [
        "1: CUSTOM\nend\nleft to the built-in kernels\n10.0 us\nit is one\nodd"
    ]
