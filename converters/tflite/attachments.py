"""Associated files: a zip that the metadata tools append to a flatbuffer."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from converters.errors import FileFormatError

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1  # bit of a member's flags
_MEMBER = b"PK\1\2"  # what a member's entry in the list begins with
_MOST_MEMBERS = 10_000
# What an archive may come to once it is inflated: label files and vocabularies deflate to a third.
_SLACK, _RATIO = 16 * 2**20, 4  # bytes, and sizes of the whole file
# Whatever zipfile raises where an archive does not say what is true; an encrypted member is a RuntimeError.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error)


def read_attachments(content: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    """The members of the archive behind a flatbuffer; none if there is no archive.

    Raises:
        FileFormatError: The archive is damaged, encrypted, deflated in a rare way, or inflates to more than a file of
            this size has reason to carry.
    """
    stream = io.BytesIO(content)
    # A zip is appended by the metadata tools; weights can hold the signature by chance, so the archive must parse.
    if not zipfile.is_zipfile(stream):
        return []
    try:
        if content.count(_MEMBER) > _MOST_MEMBERS:
            raise ValueError(f"it has more than {_MOST_MEMBERS} members")
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_members(members, _SLACK + _RATIO * len(content))
            return [(info, _read(archive, info)) for info in members]
    except _DAMAGE as error:
        raise FileFormatError(
            f"the file carries an appended archive of associated files that cannot be read ({error}). "
            "Write the model without it and attach the files again afterwards."
        ) from error


def _check_members(members: list[zipfile.ZipInfo], limit: int) -> None:
    for info in members:
        if info.flag_bits & _ENCRYPTED:
            raise ValueError(f"'{info.filename}' is encrypted")
        if info.compress_type not in _METHODS:
            raise ValueError(f"'{info.filename}' is compressed by method {info.compress_type}, not deflated")
    if len({info.filename for info in members}) < len(members):
        raise ValueError("two of its members have one name")
    total = sum(info.file_size for info in members)
    if total > limit:
        raise ValueError(f"it comes to {total} bytes, and {limit} are the most beside a model of this size")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as member:
        data = member.read(info.file_size)  # without a size, all is inflated before what is too much is cut off
    if len(data) != info.file_size:
        raise ValueError(f"'{info.filename}' has {len(data)} bytes, not {info.file_size}")
    return data


def append_attachments(content: bytes, attachments: list[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    """The flatbuffer with its associated files behind it."""
    if not attachments:
        return content
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        for info, data in attachments:
            entry = zipfile.ZipInfo(info.filename, info.date_time)
            entry.compress_type, entry.external_attr, entry.comment = (
                info.compress_type,
                info.external_attr,
                info.comment,
            )
            archive.writestr(entry, data)
    return stream.getvalue()
