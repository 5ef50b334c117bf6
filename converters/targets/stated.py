"""Targets that nobody measured: what they take, as stated elsewhere, and the times of another in place of theirs.

    {"format": 1, "name": "mtk", "times": "xnnpack", "source": "...", "verified": "...", "refuses": ["GATHER"],
     "takes": [{"op": "CONV_2D", "weights": "INT8", "activation": "INT8"}, ...]}

An INT4 entry says with ``times_int8`` how long it takes relative to the same operator with INT8 weights, as no other
target's time for it would do: what one keeps at 4 bits, another leaves to slow kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from converters.layers.kinds import EMBEDDING
from converters.targets.table import Row, Stated, Target
from converters.targets.work import WEIGHT_OPS
from converters.tflite.op_names import op_name

_MULTIPLYING = tuple(op for op in WEIGHT_OPS if op != op_name(EMBEDDING.code))  # int8 files have tables read by GATHER
_WEIGHTS = ("INT8", "INT4")


def parse_stated(table: Mapping[str, Any], lender: Target) -> Target:
    """A target from what is stated of it.

    Args:
        table: as the file has it.
        lender: the target whose times it borrows.

    Raises:
        KeyError, TypeError, ValueError: It is malformed.
    """
    takes, slower = set(), {}
    for entry in table["takes"]:
        key = _entry(entry)
        takes.add(key)
        if key[1] == "INT4":
            slower[key] = _factor(entry)
    refused = _names(table["refuses"])
    lacking = [op for op in _MULTIPLYING if (op, "INT8") not in takes]
    if lacking:
        raise ValueError(f"it takes no int8 {lacking[0]}, which stock files have")
    if both := refused & {op for op, _ in takes}:
        raise ValueError(f"{min(both)} is both taken and refused")
    source, verified = str(table["source"]), str(table["verified"])
    stated = Stated(frozenset(takes), refused, lender.name, slower, source, verified)
    kept = tuple(row for row in lender.rows if row.weights != "INT4")
    limits = tuple(limit for limit in lender.limits if limit.weights != "INT4")
    return replace(lender, name=str(table["name"]), rows=(*kept, *_scaled(kept, slower)), limits=limits, stated=stated)


def _entry(entry: Mapping[str, Any]) -> tuple[str, str]:
    op, weights = entry["op"], entry["weights"]
    if not isinstance(op, str) or (op in WEIGHT_OPS) != (weights in _WEIGHTS) or weights not in ("", *_WEIGHTS):
        raise ValueError(f"the entry of {op!r} must have weights {' or '.join(_WEIGHTS)}, or none, as its operator has")
    if entry["activation"] != "INT8":
        raise ValueError(f"the entry of {op!r} has activations {entry['activation']!r}, and tfmpq writes INT8 ones")
    return op, weights


def _factor(entry: Mapping[str, Any]) -> float:
    factor = entry["times_int8"]
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < 1e3:
        raise ValueError(f"the entry of {entry['op']!r} has times_int8 {factor!r}: a number of times is needed")
    return float(factor)


def _names(names: object) -> frozenset[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("'refuses' is no list of operators")
    return frozenset(names)


def _scaled(rows: Sequence[Row], slower: Mapping[tuple[str, str], float]) -> list[Row]:
    """Rows of INT4 weights, from those of INT8 ones."""
    return [
        replace(row, weights=weights, microseconds={term: factor * us for term, us in row.microseconds.items()})
        for (op, weights), factor in slower.items()
        for row in rows
        if (row.op, row.weights) == (op, "INT8")
    ]
