"""The file of names beside a .tflite file without them: where it is, and whether it belongs there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from converters.paths import is_special
from converters.small_file import read_file
from converters.tflite.model_file import read_model
from converters.tflite.names import STRIPPED, Names
from converters.tflite.record import METADATA_NAME, unpack_record
from tfmpq.files import write_atomic

_SUFFIX = ".names.json"
_MOST = 64 * 2**20  # bytes


@dataclass(frozen=True)
class Found:
    """What is known of the names of a file.

    Attributes:
        names: those of its tensors, where it has none of its own and they lie beside it.
        note: what the user should know; "": all names are there.
    """

    names: Names | None = None
    note: str = ""


def names_path(path: str | os.PathLike[str]) -> Path:
    """Where the names of a file go: ``net.names.json`` beside ``net.tflite``."""
    found = Path(path)
    return found.with_name((found.stem if found.suffix == ".tflite" else found.name) + _SUFFIX)


def write_names(path: str | os.PathLike[str], names: Names) -> None:
    """Writes the names of the file at ``path``, in full or not at all; none where that is a pipe or a device.

    Raises:
        OSError: They cannot be written.
    """
    if not is_special(path):
        write_atomic(names_path(path), names.to_json().encode())


def with_found_names(model: bytes | str | os.PathLike[str], content: bytes) -> tuple[bytes, str]:
    """A file with the names of its tensors in it, if they can be had, and what the user should know.

    Args:
        model: the file as it was given.
        content: its content.

    Raises:
        FileFormatError: The content is corrupt, or the names do not fit it.
    """
    from converters.lowering.stripping import with_names  # loads the schema, which others do without

    found = find_names(model, content)
    return content if found.names is None else with_names(content, found.names), found.note


def find_names(model: bytes | str | os.PathLike[str], content: bytes) -> Found:
    """The names of a file's tensors, if it has none and they can be had.

    Args:
        model: the file as it was given.
        content: its content.

    Raises:
        FileFormatError: The content is corrupt.
    """
    entry = read_model(content).metadata.get(METADATA_NAME)
    if entry is None or unpack_record(entry).get(STRIPPED) is not True:
        return Found()
    lost = "tensors have numbers for names (names='strip'), and so have layers"
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Found(note=f"{lost}: give the path of the file, beside which its names are looked for")
    path = names_path(model)
    try:
        names = Names.from_json(read_file(path, _MOST))
        names.check(content)
    except FileNotFoundError:
        return Found(note=f"{lost}: '{path}', which tfmpq wrote with the file, is not there")
    except (OSError, ValueError) as error:
        return Found(note=f"{lost}: '{path}' is not used, as {error}")
    return Found(names)
