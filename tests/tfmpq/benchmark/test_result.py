"""A benchmark's result as text, Markdown and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from tfmpq.benchmark.device import Device
from tfmpq.benchmark.result import BenchmarkResult, Noise, Pair, Run
from tfmpq.text import to_csv, to_markdown

DEVICE = Device("Chip", 4, None, "Linux-6", "3.11", "runtime 2.3", "2026-01-01T00:00:00+00:00")
FIRST = Run(
    "dir/a.tflite", 12_345, "runtime 2.3", 1, "xnnpack", 75, 1.5, 0.25, 1.0, 1.25, 2.0, 2.5, 250.0, 1234.56, 10.5,
    0.00061, 60.25, 1.0, 1.0, 1.0, 30, 31, 2, "5a",
)  # fmt: skip
SECOND = dataclasses.replace(FIRST, path="dir/b|2.tflite", ratio=1.0126, ratio_low=0.9874, ratio_high=1.5)
FAILED = Run("dir/c.tflite", None, None, 1, "xnnpack", error="it is broken")
PAIR = Pair("dir/a.tflite", 1, "xnnpack", 1.011, 0.99, 1.025, 0.08, 2.5)


def result(*runs: Run) -> BenchmarkResult:
    return BenchmarkResult(DEVICE, Noise(2.5, (PAIR,), ("it is loud here",)), runs)


def test_text():
    lines = str(result(FIRST, SECOND, FAILED)).splitlines()
    assert lines[:2] == str(DEVICE).splitlines()
    assert lines[2].endswith("against itself 1.011 (0.990-1.025): differences below 2.5 % mean nothing")
    rows = [line.split() for line in lines]
    assert ["a.tflite", "1", "xnnpack", "1.250", "1.000", "10.500", "0.0006", "60.2", "12.3", "30/31", "2"] in rows
    assert any(row[:1] == ["b|2.tflite"] and "1.013 (0.987-1.500)" in " ".join(row) for row in rows)
    assert ["c.tflite", "1", "xnnpack", *["-"] * 8] in rows
    times = ["75", "1.500", "0.2500", "1.000", "1.250", "2.000", "2.500", "250.0", "1234.6"]
    assert ["a.tflite", "1", "xnnpack", *times] in rows
    assert lines[-2:] == ["file 'dir/c.tflite': it is broken", "warning: it is loud here"]
    tables = [line for line in lines if ".tflite  " in line or line.startswith("file  ")]
    assert len(tables) == 8
    assert len({len(line) for line in tables[:4]}) == len({len(line) for line in tables[4:]}) == 1


def test_markdown():
    lines = to_markdown(result(FIRST, SECOND, FAILED).blocks()).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 * (2 + 3)
    assert {line.replace("\\|", "").count("|") for line in rows[:5]} == {12}
    assert rows[3].startswith("| b\\|2.tflite | 1 | xnnpack | 1.250 | 1.013 (0.987-1.500) |")
    assert lines[-2:] == ["* file 'dir/c.tflite': it is broken", "* warning: it is loud here"]


def test_csv_is_everything():
    runs = (FIRST, FAILED)
    read = list(csv.DictReader(io.StringIO(to_csv(result(*runs).table()))))
    assert len(read) == 2
    for row, run in zip(read, runs, strict=True):
        assert row == {key: "" if value is None else str(value) for key, value in dataclasses.asdict(run).items()}


def test_files_of_the_same_name_keep_their_directories():
    text = str(result(FIRST, dataclasses.replace(FIRST, path="other/a.tflite")))
    assert "\ndir/a.tflite " in text
    assert "\nother/a.tflite " in text


def test_long_names_are_cut_where_they_still_differ():
    long, longer = f"{'x' * 60}_1.tflite", f"{'x' * 60}_2.tflite"
    text = str(result(dataclasses.replace(FIRST, path=long), dataclasses.replace(FIRST, path=longer)))
    assert max(map(len, text.splitlines())) <= 120
    assert text.count("x_1.tflite ") == text.count("x_2.tflite ") == 2
    same_end = f"{long[:30]}y{long[30:]}"  # differs where the middle is left out
    assert same_end in str(result(dataclasses.replace(FIRST, path=long), dataclasses.replace(FIRST, path=same_end)))


@pytest.mark.parametrize(("error", "prefix"), [("it is broken", "file 'c': "), ("file 'c' is broken", "")])
def test_a_reason_is_given_once(error: str, prefix: str):
    one = Run("c", None, None, 1, "xnnpack", error=error)
    two = dataclasses.replace(one, threads=2)
    fine = dataclasses.replace(FIRST, threads=2)
    assert result(FIRST, one, fine, two).failures() == [f"{prefix}{error}"]
    assert result(FIRST, fine, two).failures() == [f"{prefix}{error} (2 threads, xnnpack)"]
