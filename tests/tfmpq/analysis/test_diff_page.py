"""The page of a comparison has every layer, the rules, and what either file says of the samples that differ most."""

from __future__ import annotations

from tests.support.pages import compared, read_page
from tfmpq.html.page import to_html


def test_the_page_of_a_comparison():
    tree = read_page(to_html(compared(50)))
    (table,) = tree.all("table", class_="named")
    (body,) = table.all("tbody")
    rows = list(body.all("tr"))
    assert len(rows) == 50  # in a terminal the last of them are left out
    widths = [float(bar.attributes["width"] or "") for bar in body.all("rect", class_="error")]
    # 20 and 30 dB: a tenth of the noise.
    assert (widths[0], widths[10]) == (100.0, 10.0)
    first, second, third = tree.all("article")
    assert [article.text().partition("float")[0] for article in (first, second, third)] == [
        "sample 7: 3.2 dB, another class",
        "sample 9: 5.0 dB",
        "sample 2: equal",
    ]
    assert [cell.text() for cell in first.all("td")] == ["1: 0.5", "2: 0.45", "2: 0.3", "1: 0.4"]
    said = tree.text()
    assert "the class changes on 1 of 40 (0.4-12.9 %, a 95 % interval), and these come first" in said
    assert 'Rule(match=r"^block_0/conv$", bits=8),  # 30 % of the error, +100 B' in said
