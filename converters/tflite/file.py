"""A .tflite file in both its forms: bytes to run or save, and graph objects to look into."""

from __future__ import annotations

from dataclasses import dataclass, field

from converters.tflite.graph import Graph, Model
from converters.tflite.reader import load


@dataclass(frozen=True, eq=False)
class File:
    """A file that was parsed once.

    Attributes:
        content: its bytes.
        model: its graphs; whoever edits them clones them first.
    """

    content: bytes = field(repr=False)
    model: Model = field(repr=False)

    @classmethod
    def parse(cls, content: bytes) -> File:
        """Parses the content of a file.

        Raises:
            FileFormatError: The bytes are not a complete TensorFlow Lite flatbuffer.
        """
        return cls(content, load(content))

    @property
    def graph(self) -> Graph:
        """The main graph."""
        return self.model.graph
