from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra [plot]", exc_type=ImportError)

from tools.docs.pictures import PICTURES, svg


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_and_the_same_each_time(name: str):
    content = svg(PICTURES[name]())
    assert content == svg(PICTURES[name]())
    assert content.rstrip().endswith(b"</svg>")


def test_the_pictures_of_the_pages_are_those_that_are_drawn():
    folder = Path(__file__).parents[3] / "docs" / "pictures"
    assert {path.stem for path in folder.glob("*.svg")} == set(PICTURES)
