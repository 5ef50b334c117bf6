"""Points with intervals in a plane: what a file costs against what it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfmpq.html.axes import Axis, axis
from tfmpq.html.tags import Html, number, tag
from tfmpq.text import shorten

_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 44  # of the plane, from the edges
_LETTER, _LINE = 6.4, 14  # size of a letter of a label, about
_LABELS, _NAME = 10, 26  # points that get labels, and letters of one
_COLOURS = 8

Interval = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """A point.

    Attributes:
        label: beside it.
        series: that it is one of; each has a shape and a colour.
        x, y: where it is.
        x_interval, y_interval: lower and upper end; None: there is none.
        leads_to: name of what a click shows.
        details: what is said of it, line by line.
        predicted: rather than measured: it is drawn hollow.
    """

    label: str
    series: str
    x: float
    y: float
    x_interval: Interval | None = None
    y_interval: Interval | None = None
    leads_to: str = ""
    details: tuple[str, ...] = ()
    predicted: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart of points.

    Attributes:
        title: above.
        x_title, y_title: along the axes, with units.
        points: finite; a chart without any is nothing.
        notes: below: what intervals are, and what is left out.
        most: of y, see :func:`tfmpq.html.axes.axis`.
    """

    title: str
    x_title: str
    y_title: str
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()
    most: float | None = None


def charts(found: Sequence[Chart]) -> Html:
    """Charts side by side where there is room."""
    return tag("div", *(_figure(chart) for chart in found if chart.points), class_="charts")


def _figure(chart: Chart) -> Html:
    series = list(dict.fromkeys(point.series for point in chart.points))
    legend = [tag("li", _symbol(number), name) for number, name in enumerate(series)]
    return tag(
        "figure",
        tag("figcaption", chart.title),
        _drawing(chart, series),
        tag("ul", *legend, class_="legend") if len(series) > 1 else None,
        *(tag("p", note, class_="note") for note in chart.notes),
    )


def _drawing(chart: Chart, series: Sequence[str]) -> Html:
    xs = [x for point in chart.points for x in (point.x, *(point.x_interval or ()))]
    ys = [y for point in chart.points for y in (point.y, *(point.y_interval or ()))]
    plane = _Plane(axis(xs), axis(ys, most=chart.most))
    labels = _labels(chart.points, plane) if len(chart.points) <= _LABELS else {}
    return tag(
        "svg",
        *_grid(plane, chart),
        *(_point(p, plane, series.index(p.series), labels.get(number)) for number, p in enumerate(chart.points)),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        class_="chart",
        role="group",
        aria_label=f"{chart.title}: {chart.y_title} over {chart.x_title}",
    )


@dataclass(frozen=True)
class _Plane:
    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return _LEFT + wide * self.x.share(x), _TOP + high * (1 - self.y.share(y))


def _grid(plane: _Plane, chart: Chart) -> Iterator[Html]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value in plane.x.ticks:
        x, _ = plane.at(value, plane.y.low)
        yield tag("line", class_="grid", x1=x, x2=x, y1=_TOP, y2=bottom)
        yield tag("text", plane.x.text(value), class_="tick", x=x, y=bottom + 15, text_anchor="middle")
    for value in plane.y.ticks:
        _, y = plane.at(plane.x.low, value)
        yield tag("line", class_="grid", x1=_LEFT, x2=right, y1=y, y2=y)
        yield tag("text", plane.y.text(value), class_="tick", x=_LEFT - 6, y=y + 4, text_anchor="end")
    yield tag("text", chart.x_title, class_="axis", x=(_LEFT + right) / 2, y=_HEIGHT - 8, text_anchor="middle")
    middle = (_TOP + bottom) / 2
    turned = f"rotate(-90 12 {number(middle)})"
    yield tag("text", chart.y_title, class_="axis", x=12, y=middle, text_anchor="middle", transform=turned)


def _point(point: Point, plane: _Plane, series: int, label: _Label | None) -> Html:
    x, y = plane.at(point.x, point.y)
    lines = []
    if point.x_interval is not None:
        ends = [plane.at(value, point.y)[0] for value in point.x_interval]
        lines.append(tag("line", class_="whisker", x1=ends[0], x2=ends[1], y1=y, y2=y))
    if point.y_interval is not None:
        ends = [plane.at(point.x, value)[1] for value in point.y_interval]
        lines.append(tag("line", class_="whisker", x1=x, x2=x, y1=ends[0], y2=ends[1]))
    words = "\n".join((point.label, *point.details))
    return tag(
        "a",
        *lines,
        tag("circle", class_="reach", cx=x, cy=y, r=14),  # what a finger meets
        _mark(x, y, series),
        None if label is None else label.drawn(),
        class_=f"point series{series % _COLOURS}{' predicted' if point.predicted else ''}",
        href=f"#{point.leads_to}" if point.leads_to else None,
        tabindex=None if point.leads_to else "0",
        role=None if point.leads_to else "img",
        aria_label=words,
        data_tip=words,
    )  # fmt: skip


def _mark(x: float, y: float, series: int) -> Html:
    """A shape for each series, for those who do not see its colour."""
    shapes = (
        ((-5, -5), (5, -5), (5, 5), (-5, 5)),
        ((0, -7), (7, 0), (0, 7), (-7, 0)),
        ((0, -6), (6, 5), (-6, 5)),
        ((0, 6), (6, -5), (-6, -5)),
    )
    kind = series % (len(shapes) + 1)
    if kind == 0:
        return tag("circle", class_="mark", cx=x, cy=y, r=5.5)
    corners = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in shapes[kind - 1])
    return tag("polygon", class_="mark", points=corners)


def _symbol(series: int) -> Html:
    kind = f"key point series{series % _COLOURS}"
    return tag("svg", _mark(8, 8, series), class_=kind, viewBox="0 0 16 16", aria_hidden="true")


@dataclass(frozen=True)
class _Label:
    text: str
    x: float
    y: float
    anchor: str

    def drawn(self) -> Html:
        return tag("text", self.text, class_="label", x=self.x, y=self.y, text_anchor=self.anchor)

    def box(self) -> Box:
        wide = _LETTER * len(self.text)
        left = self.x if self.anchor == "start" else self.x - wide if self.anchor == "end" else self.x - wide / 2
        return left, self.y - _LINE + 3, left + wide, self.y + 3


def _labels(points: Sequence[Point], plane: _Plane) -> dict[int, _Label]:
    """Labels at the first place beside their point that is free; those without one are left to the pointer."""
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in (plane.at(point.x, point.y) for point in points)]
    found = {}
    for position, point in enumerate(points):
        x, y = plane.at(point.x, point.y)
        text = shorten(point.label, _NAME)
        for label in (
            _Label(text, x + 10, y + 4, "start"),
            _Label(text, x - 10, y + 4, "end"),
            _Label(text, x, y - 11, "middle"),
            _Label(text, x, y + 20, "middle"),
        ):
            box = label.box()
            if _is_inside(box) and not any(_meet(box, other) for other in taken):
                found[position] = label
                taken.append(box)
                break
    return found


def _is_inside(box: Box) -> bool:
    left, top, right, bottom = box
    return left >= _LEFT and right <= _WIDTH and top >= 0 and bottom <= _HEIGHT - _BOTTOM


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
