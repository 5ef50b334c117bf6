"""Layers of many files in few bytes, for the script of a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from converters.printable import printable

_MOST = 300_000  # bytes: the whole page is to stay below 500 kB
_COLUMNS = ("layer", "form", "bits", "bytes", "SQNR dB", "error")

Plain = dict[str, Any]


def layers_data(files: Sequence[tuple[str, str, Sequence[Plain]]], *, most: int = _MOST) -> tuple[Plain, int]:
    """What the page's script shows of a file that is chosen: names once, and numbers for each file.

    Args:
        files: name of the row on the page, its title, and its layers as a row has them.
        most: bytes, about.

    Returns:
        The data, and how many files were left out, the last ones.
    """
    names: dict[str, int] = {}
    forms: dict[str, int] = {}
    found: Plain = {}
    size = 0
    for name, title, layers in files:
        size += sum(len(layer["name"]) + 4 for layer in layers if layer["name"] not in names)
        rows = [
            [
                names.setdefault(layer["name"], len(names)),
                layer["bits"],
                forms.setdefault(layer["lowering"], len(forms)),
                layer["bytes"],
                layer["sqnr_db"],
                layer["error_share"],
            ]
            for layer in layers
        ]
        size += len(json.dumps(rows)) + len(title)
        if size > most:
            break
        found[name] = {"title": printable(title), "layers": rows}
    data = {"columns": _COLUMNS, "names": [*map(printable, names)], "forms": [*map(printable, forms)], "files": found}
    return data, len(files) - len(found)
