"""Edits of metadata: entries, and the text of tfmpq's own record, which is deflated JSON."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.fuzz.edits import edit
from tests.fuzz.values import TEXTS

_NAME = b"tfmpq"
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 4, 9, 2**31, 2**70, -0.5, 1e308, float("nan"), float("inf"), "", "a", "int8",
    "\ud800", "\x1b[2J", "x" * 10_000, [], {}, [[]], [1], ["a"], {"a": 1}, [None] * 300,
)  # fmt: skip
_TEXTS = (
    "", "null", "[]", "3", '"a"', "{", '{"a":' + "[" * 300 + "]" * 300 + "}", '{"a":' + "[" * 5000 + "]" * 5000 + "}",
    '{"a":' + "9" * 5000 + "}", '{"a":1,"a":2}', '{"layers":' + "{}" + "}", '{"\\ud800":1}',
)  # fmt: skip


@edit
def record_value(model: Any, rng: random.Random) -> None:
    """One value in the record becomes another."""
    buffer, record = _record(model)
    place: Any = record
    for _ in range(20):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = rng.choice(keys)
        below = place[key]
        if isinstance(below, (dict, list)) and below and rng.random() < 0.8:
            place = below
            continue
        what = rng.randrange(4)
        if what == 0:
            del place[key]
        elif what == 1 and isinstance(below, (dict, list)):
            place[key] = [below] if isinstance(below, dict) else {"a": below}
        elif what == 2 and isinstance(place, dict):
            place[rng.choice(("", "a", "\ud800", str(key) + "x"))] = place.pop(key)
        else:
            place[key] = rng.choice(_VALUES)
        break
    buffer.data = _packed(json.dumps(record))


@edit
def record_text(model: Any, rng: random.Random) -> None:
    """The whole text of the record becomes another, or its compression is damaged or endless."""
    buffer, record = _record(model)
    what = rng.randrange(5)
    if what == 0:
        buffer.data = _packed(rng.choice(_TEXTS))
    elif what == 1:
        data = bytearray(buffer.data.tobytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        buffer.data = np.frombuffer(bytes(data), np.uint8)
    elif what == 2:
        buffer.data = buffer.data[: rng.randrange(len(buffer.data))]
    elif what == 3:  # a deflated run of one letter, 20 MB
        buffer.data = np.frombuffer(zlib.compress(b"[" * rng.choice((2_000, 20_000_000)), 1), np.uint8)
    else:
        record["a"] = [[]] * rng.choice((10, 100_000, 1_000_000))
        buffer.data = _packed(json.dumps(record))


@edit
def metadata_entry(model: Any, rng: random.Random) -> None:
    if not model.metadata:
        made: Any = schema.MetadataT()
        made.name, made.buffer = rng.choice(TEXTS), rng.randrange(len(model.buffers))
        model.metadata = [made]
        return
    entry = rng.choice(model.metadata)
    what = rng.randrange(5)
    if what == 0:
        entry.name = rng.choice((*TEXTS, _NAME, _NAME))
    elif what == 1:
        entry.buffer = rng.choice((0, 1, rng.randrange(len(model.buffers)), len(model.buffers), 2**32 - 1))
    elif what == 2:
        model.metadata.extend([entry] * rng.choice((1, 1, 2000)))
    elif what == 3:
        model.metadata = rng.choice((None, [], model.metadata[:-1]))
    else:
        model.buffers[entry.buffer].data = np.frombuffer(rng.randbytes(rng.choice((0, 1, 16, 3000))), np.uint8)


def _record(model: Any) -> tuple[Any, dict[str, Any]]:
    """The buffer of tfmpq's entry and what it says; a new entry where there is none."""
    for entry in model.metadata or []:
        if entry.name == _NAME:
            buffer = model.buffers[entry.buffer]
            return buffer, json.loads(zlib.decompress(bytes(buffer.data)))
    buffer: Any = schema.BufferT()
    entry: Any = schema.MetadataT()
    model.buffers.append(buffer)
    entry.name, entry.buffer = _NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    record: dict[str, Any] = {"version": 1, "layers": [{"name": "stem", "bits": 4}], "a": {"b": [1, 2.5, None]}}
    buffer.data = _packed(json.dumps(record))
    return buffer, record


def _packed(text: str) -> np.ndarray:
    return np.frombuffer(zlib.compress(text.encode(errors="surrogatepass"), 9), np.uint8)
