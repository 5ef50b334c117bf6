"""Points are where their numbers say, and labels do not lie on each other."""

from __future__ import annotations

import random

import pytest

from tests.support.pages import Element, read_page
from tfmpq.html.scatter import Chart, Point, charts


def drawn(*points: Point) -> Element:
    return read_page(charts([Chart("title", "x", "y", points)]))


def number(element: Element, name: str) -> float:
    return float(element.attributes[name] or "")


def test_places_and_intervals_are_those_of_the_numbers():
    chart = drawn(
        Point("a", "one", 10, 5, None, (4, 7), "there", ("said",)),
        Point("b", "one", 20, 9, (18, 24), None, "", (), True),
    )
    first, second = chart.all("a", class_="point")
    a, b = (next(point.all("circle", class_="reach")) for point in (first, second))
    (up,), (across,) = (list(point.all("line", class_="whisker")) for point in (first, second))
    wide = (number(b, "cx") - number(a, "cx")) / 10  # for one of x
    high = (number(a, "cy") - number(b, "cy")) / 4
    assert wide > 0
    assert high > 0
    # Coordinates are written with one digit, so differences of two are exact to a tenth.
    assert number(a, "cy") - number(up, "y2") == pytest.approx(2 * high, abs=0.11)
    assert number(up, "y1") - number(a, "cy") == pytest.approx(high, abs=0.11)
    assert number(across, "x2") - number(b, "cx") == pytest.approx(4 * wide, abs=0.11)
    assert first.attributes["href"] == "#there"
    assert first.attributes["aria-label"] == first.attributes["data-tip"] == "a\nsaid"
    assert "href" not in second.attributes
    assert second.has("class_", "predicted")


def test_labels_do_not_meet():
    chance = random.Random(0)
    chart = drawn(*(Point(f"label {i}", "s", chance.random(), chance.random() / 10) for i in range(10)))
    boxes = []
    for label in chart.all("text", class_="label"):
        wide, x, y = 6.4 * len(label.text()), number(label, "x"), number(label, "y")
        left = x - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[label.attributes["text-anchor"] or ""]
        boxes.append((left, y - 11, left + wide, y + 3))
    assert len(boxes) >= 5
    for i, a in enumerate(boxes):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in boxes[:i])


def test_without_points_there_is_nothing():
    assert list(drawn().all("figure")) == []
