from __future__ import annotations

from tests.support.pages import HOSTILE, read_page
from tfmpq.html.tags import Html, tag


def test_text_and_attributes_are_text_whatever_is_in_them():
    (cell,) = read_page(tag("td", HOSTILE, class_=HOSTILE, data_tip=HOSTILE)).all("td")
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\udcff", "\\udcff")  # as terminals are told, too
    assert cell.children == [shown]
    assert cell.attributes == {"class": shown, "data-tip": shown}


def test_only_what_is_markup_is_markup():
    assert tag("p", tag("b", "<i>"), None, "&", hidden=True, id=None, x=1, y=0.25) == Html(
        '<p hidden x="1" y="0.2"><b>&lt;i&gt;</b>&amp;</p>'
    )
    assert tag("br") == "<br>"
