"""Associated files: a zip that the metadata tools append to a flatbuffer."""

from __future__ import annotations

import io
import zipfile

from converters.errors import FileFormatError


def read_attachments(content: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    """The members of the archive behind a flatbuffer; none if there is no archive."""
    stream = io.BytesIO(content)
    # A zip is appended by the metadata tools; weights can hold the signature by chance, so the archive must parse.
    if not zipfile.is_zipfile(stream):
        return []
    try:
        with zipfile.ZipFile(stream) as archive:
            return [(info, archive.read(info)) for info in archive.infolist()]
    except zipfile.BadZipFile as error:
        raise FileFormatError(
            f"the file carries an appended archive of associated files that cannot be read ({error}). "
            "Write the model without it and attach the files again afterwards."
        ) from error


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
