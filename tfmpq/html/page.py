"""A page: one file that loads nothing, whatever the names in it are.

The browser is told so too: by the page's policy only its own style and script apply, which are known by their hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import tfmpq.html
from tfmpq.files import write_atomic
from tfmpq.html.tags import Html, joined, tag
from tfmpq.text import to_plain
from tfmpq.version import __version__


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        name: that links lead to, ``layers`` say.
        title: its heading.
        content: below that.
    """

    name: str
    title: str
    content: Html


@dataclass(frozen=True)
class Page:
    """What there is to look at.

    Attributes:
        title: of the page.
        lead: a line below it.
        sections: from top to bottom.
        data: for the script, where it shows what the page does not; None: nothing.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    data: Mapping[str, Any] | None = None


def to_html(page: Page) -> str:
    """The page as one file; the same page gives the same text."""
    style, script = (files(tfmpq.html).joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    links = [tag("a", section.title, href=f"#{section.name}") for section in page.sections]
    nav = tag("nav", *links, aria_label="parts of the page")
    body = tag(
        "body",
        tag("header", tag("h1", page.title), tag("p", page.lead, class_="lead"), nav),
        tag("main", *map(_section, page.sections)),
        tag("footer", tag("p", f"made by tfmpq {__version__}; this file is complete in itself and loads nothing")),
        None if page.data is None else tag("script", _json(page.data), type="application/json", id="data"),
        tag("script", Html(script)),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", page.title),
        tag("style", Html(style)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def save_page(path: str | os.PathLike[str], page: Page) -> None:
    """Writes a page, in full or not at all.

    Raises:
        OSError: It cannot be written; what was there is untouched.
    """
    write_atomic(path, to_html(page).encode())


def _section(section: Section) -> Html:
    heading = f"{section.name}-title"
    return tag(
        "section", tag("h2", section.title, id=heading), section.content, id=section.name, aria_labelledby=heading
    )


def _policy(style: str, script: str) -> str:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(data: Mapping[str, Any]) -> Html:
    """Data as JSON that ends no element, whatever strings are in it."""
    return joined([Html(json.dumps(to_plain(data), separators=(",", ":")).replace("<", "\\u003c"))])
