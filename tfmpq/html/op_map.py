"""Operators of a graph in their order, a square each: which of them a delegate runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfmpq.html.tables import key
from tfmpq.html.tags import Html, joined, tag

_KINDS = {True: ("taken", "XNNPACK runs it"), False: ("left", "left to the built-in kernels")}


@dataclass(frozen=True)
class Place:
    """An operator.

    Attributes:
        name: such as ``CONV_2D``.
        layer: that it belongs to.
        delegated: whether the delegate runs it.
        note: what else there is to say.
        leads_to: name of what a click shows; "": nothing.
    """

    name: str
    layer: str
    delegated: bool
    note: str = ""
    leads_to: str = ""


def op_map(places: Sequence[Place], *, title: str) -> Html:
    """The map; keys walk over it once it has the focus."""
    legend = [tag("li", key(kind), words) for kind, words in _KINDS.values()]
    squares = [_square(number, place) for number, place in enumerate(places)]
    return joined([tag("ul", *legend, class_="legend"), tag("ol", *squares, class_="map", aria_label=title)])


def _square(number: int, place: Place) -> Html:
    kind, words = _KINDS[place.delegated]
    said = "\n".join(filter(None, (f"{number}: {place.name}", place.layer, words, place.note)))
    link = tag(
        "a",
        "" if place.delegated else "x",  # colour alone is not seen by all
        href=f"#{place.leads_to}" if place.leads_to else None,
        tabindex="-1" if number else "0",
        role=None if place.leads_to else "img",
        aria_label=said,
        data_tip=said,
    )
    return tag("li", link, class_=kind)
