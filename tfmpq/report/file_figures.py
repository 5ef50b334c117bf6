"""What a .tflite file costs: bytes, operators, multiplications, and how much of it the delegate takes."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from converters.layers.kinds import kind_of
from converters.runtime.delegation import Coverage, delegate_coverage
from converters.tflite.file import File
from converters.tflite.graph import Graph, Op


@dataclass(frozen=True)
class FileFigures:
    """One file.

    Attributes:
        bytes: size of the file.
        deflated: size compressed as in a zip or an APK (zlib level 9).
        operators: operator name -> how many, main graph.
        macs: multiply-accumulates of its convolutions and dense layers for one inference.
        coverage: what the delegate (XNNPACK) takes.
    """

    bytes: int
    deflated: int
    operators: dict[str, int]
    macs: int
    coverage: Coverage


def measure_file(file: File, interpreter: Any) -> FileFigures:
    """Figures of a file, given an interpreter of it that has not run yet."""
    operators = dict(Counter(op.name for op in file.graph.ops).most_common())
    deflated = len(zlib.compress(file.content, 9))
    coverage = delegate_coverage(interpreter)
    return FileFigures(len(file.content), deflated, operators, count_macs(file.graph), coverage)


def count_macs(graph: Graph) -> int:
    """Multiply-accumulates of all convolutions and dense layers; taps on padding count, a dynamic batch is 1."""
    total = 0
    for op in graph.ops:
        kind = kind_of(op)
        if kind is None:
            continue
        shape, source = op.input(kind.site.weight).shape, op.input(kind.site.activation)
        positions = prod(max(n, 1) for n in op.outputs[0].shape) // shape[kind.row_axis]
        total += kind.work(op, shape, source, positions).positions * prod(shape)
    return total


def constant_bytes(ops: Iterable[Op]) -> int:
    """Bytes of the constants that ``ops`` read, each counted once, and 4 for every scale they carry."""
    constants = {t: len(t.data) for op in ops for t in op.inputs if t is not None and t.data is not None}
    return sum(n + (0 if t.quantization is None else 4 * t.quantization.scale.size) for t, n in constants.items())
