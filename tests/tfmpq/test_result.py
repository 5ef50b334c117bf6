from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfmpq.plan.layer_plan import Plan
from tfmpq.result import ConversionResult


@pytest.fixture
def result() -> ConversionResult:
    report: Any = None  # save() has no use for it
    return ConversionResult(b"TFL3 content", Plan({}), report, b"float", b"stock", b"eight bits")


def test_saves_the_model(result: ConversionResult, tmp_path: Path):
    result.save(tmp_path / "model.tflite")
    result.save(str(tmp_path / "again.tflite"))
    assert (tmp_path / "model.tflite").read_bytes() == b"TFL3 content"
    assert (tmp_path / "again.tflite").read_bytes() == b"TFL3 content"


def test_a_failure_leaves_the_old_file(result: ConversionResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        result.save(path)
    assert path.read_bytes() == b"old"


def test_printing_a_result_does_not_print_megabytes(result: ConversionResult):
    assert repr(result) == "ConversionResult()"
