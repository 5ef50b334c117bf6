"""What a result says as text (:mod:`tfmpq.text`), on a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfmpq.html.tags import Html, joined, tag
from tfmpq.text import Block, Facts, Lines, Table


def from_blocks(blocks: Sequence[Block]) -> Html:
    """The blocks one below the other; those without content leave nothing."""
    return joined(piece for block in blocks for piece in _pieces(block))


def cards(entries: Sequence[tuple[str, str, str]]) -> Html:
    """The few figures that everyone asks for: (what, figure, what stands below it) each."""
    found = (tag("div", tag("dt", what), tag("dd", figure), tag("dd", note)) for what, figure, note in entries)
    return tag("dl", *found, class_="cards")


def code(text: str) -> Html:
    """Lines to copy as they are."""
    return tag("pre", tag("code", text), tabindex="0", class_="copy")


def _pieces(block: Block) -> Iterator[Html]:
    if isinstance(block, Facts):
        if block.entries:
            yield tag("dl", *(piece for label, text in block.entries for piece in _fact(label, text)))
    elif isinstance(block, Lines):
        yield from [tag("p", block.title)] if block.title else []
        if block.lines:
            yield (
                code("\n".join(block.lines)) if block.code else tag("ul", *(tag("li", x.strip()) for x in block.lines))
            )
    else:
        yield from _table(block)


def _fact(label: str, text: str) -> Iterator[Html]:
    """A label may be empty: the text goes on with the one above."""
    if label:
        yield tag("dt", label)
    yield tag("dd", text)


def _table(block: Table) -> Iterator[Html]:
    if block.rows:
        kinds = ["number" if column.numeric else None for column in block.columns]
        titles = (tag("th", c.title, scope="col", class_=kind) for c, kind in zip(block.columns, kinds, strict=True))
        rows = (
            tag("tr", *(tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)))
            for row in block.rows
        )
        caption = tag("caption", block.title) if block.title else None
        table = tag("table", caption, tag("thead", tag("tr", *titles)), tag("tbody", *rows), class_="sortable")
        yield wide(table, name=block.title or ", ".join(column.title for column in block.columns))
    for note in block.notes:
        yield tag("p", note, class_="note")


def wide(table: Html, *, name: str) -> Html:
    """A table that is moved sideways by itself where the screen is narrow, by keys too.

    Args:
        table: the element.
        name: that tells it from the others of the page, for those who do not see it.
    """
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=f"table: {name}")
