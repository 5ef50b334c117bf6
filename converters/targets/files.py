"""Cost tables as files: the ones that come with the package, and a user's own."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from converters.errors import FileFormatError, OptionError
from converters.paths import path_text
from converters.plain_json import parse
from converters.printable import shown
from converters.small_file import read_file
from converters.targets.stated import parse_stated
from converters.targets.table import ANY_OP, TERMS, Limit, Row, Target
from converters.targets.work import WEIGHT_OPS

FORMAT = 1
_FOLDER = Path(__file__).parent
_COUNTED = ("positions", "rows", "depth", "inputs", "symmetric")  # what limits speak of
MEASURED = ("xnnpack", "builtin")  # tables that come with the package and have times of their own
# Without these rows no lowering could be weighed: (operator, weights, shape class). A runtime may lack INT4 weights.
REQUIRED = (
    ("CONV_2D", "INT8", "1x1"),
    ("CONV_2D", "INT8", "kxk"),
    ("CONV_2D", "INT8", "strided"),
    ("DEPTHWISE_CONV_2D", "INT8", "kxk"),
    ("DEPTHWISE_CONV_2D", "INT8", "strided"),
    ("TRANSPOSE_CONV", "INT8", "strided"),
    ("FULLY_CONNECTED", "INT8", "dense"),
    ("FULLY_CONNECTED", "INT8", "1x1"),
    ("ADD", "", ""),
    ("CONCATENATION", "", ""),
    ("GATHER", "", ""),
    ("SLICE", "", ""),
    (ANY_OP, "", ""),
)


def target_names() -> tuple[str, ...]:
    """The targets that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def load_target(name: str | os.PathLike[str]) -> Target:
    """A target that comes with the package, or one's own table.

    Args:
        name: one of :func:`target_names`, or the path of a .json file written by ``tfmpq target``.

    Raises:
        OptionError: There is no such target.
        FileFormatError: The table is broken.
    """
    path = Path(path_text(name, "a target's table"))
    if os.fspath(name) in target_names():
        path = _FOLDER / f"{name}.json"
    elif path.suffix != ".json":
        raise OptionError(
            f"target {shown(os.fspath(name))} is unknown: choose one of {', '.join(map(repr, target_names()))}, or "
            "give the path of a table (.json) written by tfmpq target."
        )
    try:
        content = read_file(path)
    except OSError as error:
        raise OptionError(f"target '{path}' cannot be read: {error.strerror}. Check the path.") from error
    except ValueError as error:
        raise FileFormatError(f"target '{path}' is no cost table: {error}.") from error
    return read_table(content, f"target '{path}'")


def read_table(content: bytes, label: str) -> Target:
    """The table in a file's content; ``label`` names it in messages.

    Raises:
        FileFormatError: It is broken or lacks rows that lowerings need.
    """
    try:
        return _parse(parse(content, finite=False))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise FileFormatError(f"{label} is no cost table: {reason}. Write it anew with tfmpq target.") from error


def to_json(target: Target) -> bytes:
    """The table as a file, one row a line."""
    head: dict[str, Any] = {"format": FORMAT, "name": target.name, "kernels": target.kernels}
    head |= {"measured": target.measured, "partition": target.partition}
    lines = [f'"{key}": {json.dumps(value)}' for key, value in head.items()]
    for key, items in (("limits", target.limits), ("rows", target.rows)):
        inner = ",\n".join(f"  {json.dumps(asdict(item))}" for item in items)
        lines.append(f'"{key}": [\n{inner}\n]' if items else f'"{key}": []')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _parse(table: Mapping[str, Any]) -> Target:
    if table["format"] != FORMAT:
        raise ValueError(f"it has format {table['format']!r}, and this version reads {FORMAT}")
    if "times" in table:
        lender = str(table["times"])
        if lender not in MEASURED:
            raise ValueError(f"times of {lender!r} cannot be borrowed, only those of {' or '.join(MEASURED)}")
        return parse_stated(table, load_target(lender))
    if table["kernels"] not in ("xnnpack", "builtin"):
        raise ValueError(f"kernels {table['kernels']!r} are neither 'xnnpack' nor 'builtin'")
    rows = tuple(_parse_row(row) for row in table["rows"])
    limits = tuple(Limit(**limit) for limit in table["limits"])
    for limit in limits:
        bounds = (limit.minimum, limit.maximum or 1, limit.multiple)
        if not isinstance(limit.op, str) or not isinstance(limit.weights, str):
            raise ValueError("a limit names no operator and type of weights")
        if limit.of not in _COUNTED or not all(isinstance(n, int) and n >= 1 for n in bounds):
            raise ValueError(f"the limit of {limit.op} on {limit.of!r} makes no sense")
    keys = [(row.op, row.weights, row.activation, row.shape, row.delegated) for row in rows]
    if len(set(keys)) < len(keys):
        raise ValueError("two rows describe the same operator")
    there = {(row.op, row.weights, row.shape) for row in rows if row.activation == "INT8"}
    missing = [" ".join(filter(None, need)) for need in REQUIRED if need not in there]
    if missing:
        raise ValueError(f"rows of int8 activations are missing: {', '.join(missing)}")
    if not any(row.op == ANY_OP and row.activation == "INT8" and not row.delegated for row in rows):
        raise ValueError(f"the row {ANY_OP!r} must not be delegated")
    partition, measured = _amount(table["partition"], "partition"), dict(table["measured"])
    return Target(str(table["name"]), table["kernels"], rows, limits, partition, measured)


def _parse_row(row: Mapping[str, Any]) -> Row:
    op, weights, activation, shape = names = [row[key] for key in ("op", "weights", "activation", "shape")]
    where = " ".join(str(name) for name in names if name)
    if not all(isinstance(name, str) for name in names) or not isinstance(row["delegated"], bool):
        raise ValueError(f"row {where!r} is malformed")
    if (op in WEIGHT_OPS) != bool(weights and shape):
        raise ValueError(f"row {where!r} must have weights and a shape class, or neither, as its operator has")
    tile = tuple(row["tile"])
    if len(tile) != 2 or not all(isinstance(n, int) and n >= 1 for n in tile):
        raise ValueError(f"row {where!r} has no tile of two positive numbers")
    terms = {name: _amount(row["microseconds"][name], f"row {where!r}: {name}") for name in TERMS}
    if not any(terms.values()):
        raise ValueError(f"row {where!r} costs nothing")
    size, error = (int(tile[0]), int(tile[1])), _amount(row["error"], f"row {where!r}: error")
    return Row(op, weights, activation, shape, row["delegated"], size, terms, error, int(row["measured"]))


def _amount(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{where} must be a number of microseconds >= 0, not {value!r}")
    return float(value)
