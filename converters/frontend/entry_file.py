"""A file with the graph of one of its signatures in front, which is what runtimes run unless told otherwise."""

from __future__ import annotations

import os

from converters.errors import OptionError
from converters.printable import shown
from converters.runtime.content import read_content
from converters.runtime.interpreter import check_content
from converters.tflite.calls import arranged, reached
from converters.tflite.graph import Model, Signature
from converters.tflite.reader import load
from converters.tflite.writer import save


def entry_first(model: bytes | str | os.PathLike[str], signature: str, *, label: str | None = None) -> bytes:
    """The content of a file, the graph of ``signature`` as its main one.

    Args:
        model: content or path of a .tflite file.
        signature: key.
        label: what messages call the file; None: its path, or its size.

    Raises:
        FileFormatError: The file cannot be read.
        OptionError: It has no such signature.
    """
    parsed, entry = _entry(model, signature, label)
    graphs = [entry.graph, *(graph for graph in parsed.graphs if graph is not entry.graph)]
    return save(arranged(parsed, graphs, [entry, *(s for s in parsed.signatures if s is not entry)]))


def entry_alone(model: bytes | str | os.PathLike[str], signature: str) -> bytes:
    """The same without what the signature's graph does not call."""
    parsed, entry = _entry(model, signature)
    return save(arranged(parsed, reached([entry.graph], parsed), [entry]))


def _entry(model: bytes | str | os.PathLike[str], signature: str, label: str | None = None) -> tuple[Model, Signature]:
    content, known = read_content(model)
    label = label or known
    check_content(content, label)
    parsed = load(content)
    entry = next((s for s in parsed.signatures if s.key == signature), None)
    if entry is None:
        keys = [s.key for s in parsed.signatures]
        there = f"has the signatures {keys}" if keys else "has no signatures: leave it out"
        raise OptionError(f"signature={shown(signature)}: {label} {there}.")
    return parsed, entry
