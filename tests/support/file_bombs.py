"""Small .tflite files that stand for something huge."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable

import numpy as np


def table_bomb(graphs: int, tensors: int) -> bytes:
    """A model of ``graphs`` references to one subgraph of ``tensors`` references to one tensor: 4 bytes each."""
    pack, out = struct.pack, bytearray(8)
    out[4:8] = b"TFL3"

    def align() -> None:
        out.extend(bytes(-len(out) % 4))

    model_fields = len(out)
    out += pack("<7H", 14, 12, 0, 0, 4, 0, 8)  # subgraphs at 4, buffers at 8
    align()
    graph_fields = len(out)
    out += pack("<3H", 6, 8, 4)
    align()
    no_fields = len(out)
    out += pack("<2H", 4, 4)
    root = len(out)
    out += pack("<iII", root - model_fields, 0, 0)
    out[root + 4 : root + 8] = pack("<I", len(out) - (root + 4))
    out += pack("<I", graphs)
    references = len(out)
    out += bytes(4 * graphs)
    out[root + 8 : root + 12] = pack("<I", len(out) - (root + 8))
    out += pack("<II", 1, 4)
    out += pack("<i", len(out) - no_fields)
    graph = len(out)
    out += pack("<iI", graph - graph_fields, 4)
    out += pack("<I", tensors)
    first = len(out)
    tensor = first + 4 * tensors
    out += (tensor - np.arange(first, tensor, 4)).astype("<u4").tobytes()
    out += pack("<i", tensor - no_fields)
    out[references : references + 4 * graphs] = (
        (graph - np.arange(references, references + 4 * graphs, 4)).astype("<u4").tobytes()
    )
    out[0:4] = pack("<I", root)
    return bytes(out + bytes(8))


def peak(work: Callable[[], object]) -> int:
    """The most bytes that Python and NumPy hold at a time while ``work`` runs."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
