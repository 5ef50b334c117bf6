"""Names of tensors beside a file that does without them, and how the two are known to belong together.

Needs NumPy only, as does whoever only looks into a file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from converters.errors import FileFormatError
from converters.plain_json import parse
from converters.tflite.model_file import ModelFile

STRIPPED = "stripped"  # key of a file's own record
_FORMAT = "tfmpq names 1"
_MOST = 64 * 2**20  # bytes of a file of names: an unrolled network has 100,000 tensors
_LONGEST = 1 << 16  # characters of a name, as in a .tflite file
_DEEPEST = 100  # of its record


@dataclass(frozen=True)
class Names:
    """What was left out of a file.

    Attributes:
        sha256: of the file, in hexadecimal digits.
        tensors: names of all tensors, by graph, in the order of the file.
        record: what tfmpq noted when it made the file, in full.
    """

    sha256: str
    tensors: tuple[tuple[str, ...], ...]
    record: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, content: bytes, tensors: tuple[tuple[str, ...], ...], record: Mapping[str, Any]) -> Names:
        """The names of a file with this content."""
        return cls(hashlib.sha256(content).hexdigest(), tensors, record)

    def to_json(self) -> str:
        """As :meth:`from_json` reads it."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, content: bytes) -> Names:
        """Inverse of :meth:`to_json`.

        Raises:
            ValueError: It is no file of names, with the reason.
        """
        found = parse(content, most=_MOST, depth=_DEEPEST)
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise ValueError(f"it does not say that its format is '{_FORMAT}'")
        sha256, tensors, record = (found.get(key) for key in ("sha256", "tensors", "record"))
        if not isinstance(sha256, str) or not isinstance(tensors, list) or not isinstance(record, dict):
            raise ValueError("it lacks the hash, the names or the record")
        for names in tensors:
            if not isinstance(names, list) or not all(isinstance(n, str) and len(n) < _LONGEST for n in names):
                raise ValueError("its names are no lists of texts")
        return cls(sha256, tuple(map(tuple, tensors)), record)

    def check(self, content: bytes) -> None:
        """Refuses names of another file.

        Raises:
            ValueError: They are.
        """
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError("it belongs to another file: the hash that it names is not this one's")

    def within(self, file: ModelFile) -> ModelFile:
        """A file that was read, with the names in it.

        Raises:
            FileFormatError: There are not as many tensors as names.
        """
        check_counts(self, [len(graph.tensors) for graph in file.graphs])
        graphs = tuple(
            dataclasses.replace(
                graph,
                tensors=tuple(
                    dataclasses.replace(tensor, name=name) for tensor, name in zip(graph.tensors, names, strict=True)
                ),
            )
            for graph, names in zip(file.graphs, self.tensors, strict=True)
        )
        return dataclasses.replace(file, graphs=graphs)


def check_counts(names: Names, tensors: list[int]) -> None:
    """Refuses names that a file with so many tensors in its graphs does not have.

    Raises:
        FileFormatError: They do not fit.
    """
    given = [len(graph) for graph in names.tensors]
    if given != tensors:
        raise FileFormatError(f"there are names of {given} tensors by graph, and the file has {tensors}")
