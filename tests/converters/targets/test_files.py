"""Files of cost tables: read, written, and refused where they are broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import FileFormatError, OptionError
from converters.targets import dense_work, load_target, to_json
from converters.targets.table import TERMS


def _without_row(table: dict[str, Any], op: str, weights: str) -> None:
    table["rows"] = [row for row in table["rows"] if (row["op"], row["weights"]) != (op, weights)]


def test_a_table_survives_the_file(tmp_path: Path):
    target = load_target("xnnpack")
    path = tmp_path / "mine.json"
    path.write_bytes(to_json(target))
    assert load_target(path) == load_target(str(path)) == target


def test_unknown_targets(tmp_path: Path):
    with pytest.raises(
        OptionError, match=r"target 'hexagon' is unknown: choose one of 'builtin', .*'xnnpack', or give"
    ):
        load_target("hexagon")
    with pytest.raises(OptionError, match=r"missing\.json' cannot be read: No such file"):
        load_target(tmp_path / "missing.json")


def test_a_runtime_without_int4(tmp_path: Path):
    """As tflite-runtime 2.14: no plan may count on such operators."""
    table = json.loads(to_json(load_target("builtin")))
    _without_row(table, "FULLY_CONNECTED", "INT4")
    path = tmp_path / "old.json"
    path.write_text(json.dumps(table))
    target = load_target(path)
    assert not target.supports("FULLY_CONNECTED", "INT4")
    assert target.microseconds(dense_work(positions=4, columns=4, rows=4, weights="INT4")) == np.inf
    assert target.microseconds(dense_work(positions=4, columns=4, rows=4, weights="INT8")) < np.inf


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.update(format=2), "it has format 2, and this version reads 1"),
        (lambda t: t.update(kernels="gpu"), "kernels 'gpu' are neither"),
        (lambda t: t.pop("limits"), "'limits' is missing"),
        (lambda t: t.update(rows=7), "not iterable"),
        (lambda t: t.update(partition=-1), "partition must be a number of microseconds >= 0, not -1"),
        (lambda t: _without_row(t, "FULLY_CONNECTED", "INT8"), "are missing: FULLY_CONNECTED INT8 dense, FULLY_CONN"),
        (lambda t: _without_row(t, "*", ""), r"are missing: \*"),
        (lambda t: t["rows"].append(t["rows"][0]), "two rows describe the same operator"),
        (lambda t: t["rows"][0].update(delegated=True), "must not be delegated"),
        (lambda t: t["rows"][3].update(delegated="yes"), "row '.*' is malformed"),
        (lambda t: t["rows"][-1].update(shape=""), "must have weights and a shape class, or neither"),
        (lambda t: t["rows"][3].update(tile=[0, 16]), "no tile of two positive numbers"),
        (lambda t: t["rows"][3]["microseconds"].pop("mmacs"), "'mmacs' is missing"),
        (lambda t: t["rows"][3]["microseconds"].update(mmacs=float("nan")), "mmacs must be a number .* not nan"),
        (lambda t: t["rows"][3]["microseconds"].update(dict.fromkeys(TERMS, 0)), "costs nothing"),
        (lambda t: t["limits"].append({"op": "ADD", "weights": "", "of": "colour"}), "limit of ADD on 'colour'"),
        (lambda t: t["limits"].append({"op": "ADD", "size": 3}), "unexpected keyword argument 'size'"),
    ],
)
def test_broken_tables(damage: Callable[[dict[str, Any]], object], message: str, tmp_path: Path):
    table = json.loads(to_json(load_target("xnnpack")))
    damage(table)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(table))
    with pytest.raises(FileFormatError, match=rf"broken\.json' is no cost table: .*{message}.*tfmpq target"):
        load_target(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_no_tables(content: bytes, tmp_path: Path):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is no cost table"):
        load_target(path)
