"""The tool that measures expansion, on a tiny file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.lowering.expand import expand
from tests.converters.lowering.test_expand import residual_files
from tools.research.measure_expand import COMPACT, FUSED, STOCK, main


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_rows_of_one_network(tmp_path: Path):
    compact, fused = residual_files()
    files = {"net.compact.tflite": compact, "stock.tflite": fused}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    table, numbers = tmp_path / "table.md", tmp_path / "numbers.json"
    options = ["--runs=1", f"--markdown={table}", f"--json={numbers}"]
    main([str(tmp_path / "net.compact.tflite"), f"--stock={tmp_path / 'stock.tflite'}", *options])
    rows = {row["form"]: row for row in json.loads(numbers.read_text())}
    assert {form: row["bytes"] for form, row in rows.items()} == {
        FUSED: len(expand(compact)),
        STOCK: len(fused),
        COMPACT: len(compact),
    }
    assert {row["model"] for row in rows.values()} == {"net"}
    assert 0 < rows[COMPACT]["expansion"] < rows[COMPACT]["load"]
    assert rows[STOCK]["expansion"] is None
    assert rows[STOCK]["latency"] == 1
    assert all(row["memory"] > 0 for row in rows.values())
    assert table.read_text().count("\n| net |") == 3
