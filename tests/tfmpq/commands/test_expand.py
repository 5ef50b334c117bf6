"""``tfmpq expand``."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.lowering.expand import expand
from tests.converters.lowering.test_expand import residual_files
from tests.support.documents import checked
from tfmpq import cli


def test_writes_the_expanded_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    compact, _ = residual_files()
    source, result = tmp_path / "compact.tflite", tmp_path / "fast.tflite"
    source.write_bytes(compact)
    assert cli.run(["expand", "--model", str(source), "--output", str(result)]) == 0
    expanded = expand(compact)
    assert result.read_bytes() == expanded
    assert f"{len(compact):,} bytes -> {len(expanded):,} bytes in " in capsys.readouterr().out
    assert cli.run(["expand", f"--model={result}", f"--output={result}"]) == 0
    assert result.read_bytes() == expanded
    assert "nothing to expand" in capsys.readouterr().out
    assert cli.run(["expand", f"--model={source}", f"--output={result}", "--json"]) == 0
    assert checked(capsys.readouterr().out, "expand")["bytes"] == len(expanded)


def test_errors_name_the_file_and_leave_the_output_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], conv_net_int8: bytes
):
    source, result = tmp_path / "stock.tflite", tmp_path / "out.tflite"
    source.write_bytes(conv_net_int8)
    result.write_bytes(b"kept")
    assert cli.run(["expand", f"--model={source}", f"--output={result}"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"file '{source}': not a file of tfmpq's" in err
    assert result.read_bytes() == b"kept"
    assert cli.run(["expand", f"--model={tmp_path / 'absent'}", f"--output={result}"]) == 1
    assert cli.run(["expand", f"--model={source}"]) == 2
