"""Bodies of loops that were converted as files of their own, back in the file of the whole network."""

from __future__ import annotations

from collections.abc import Sequence

from converters.frontend.loop_bodies import Loop, with_step
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save

Step = tuple[Loop, bytes]


def with_steps(content: bytes, steps: Sequence[Step]) -> bytes:
    """The file with its loops' bodies replaced, and with their layers in its record.

    Args:
        content: a file of the network.
        steps: loops of it, and files made of their ``step``.

    Raises:
        ModelError: States of a loop have other types in the network than in the file of a step.
    """
    if not steps:
        return content
    model = load(content)
    layers: dict[str, object] = {}
    for loop, step in steps:
        part = load(step)
        with_step(model, loop, part.graph)
        layers |= _recorded(part.metadata.get(METADATA_NAME))
    known = model.metadata.get(METADATA_NAME)
    if known is not None and "layers" in (record := unpack_record(known)):
        record["layers"] = {**_recorded(known), **layers}
        model.metadata[METADATA_NAME] = pack_record(record)
    return save(model)


def _recorded(entry: bytes | None) -> dict[str, object]:
    found = unpack_record(entry).get("layers") if entry is not None else None
    return found if isinstance(found, dict) else {}
