"""A file with the graph of one of its signatures in front, which is what runtimes run unless told otherwise."""

from __future__ import annotations

import os

from converters.errors import OptionError
from converters.runtime.content import read_content
from converters.runtime.interpreter import check_content
from converters.tflite.calls import arranged
from converters.tflite.reader import load
from converters.tflite.writer import save


def entry_first(model: bytes | str | os.PathLike[str], signature: str) -> bytes:
    """The content of a file, the graph of ``signature`` as its main one.

    Args:
        model: content or path of a .tflite file.
        signature: key.

    Raises:
        FileFormatError: The file cannot be read.
        OptionError: It has no such signature.
    """
    content, label = read_content(model)
    check_content(content, label)
    parsed = load(content)
    entry = next((s for s in parsed.signatures if s.key == signature), None)
    if entry is None:
        raise OptionError(f"signature={signature!r}: {label} has the signatures {[s.key for s in parsed.signatures]}.")
    graphs = [entry.graph, *(graph for graph in parsed.graphs if graph is not entry.graph)]
    return save(arranged(parsed, graphs, [entry, *(s for s in parsed.signatures if s is not entry)]))
