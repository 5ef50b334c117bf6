"""Tables of several models out of a folder of results."""

from __future__ import annotations

from pathlib import Path

from tfmpq.comparison.quality import Quality
from tfmpq.comparison.result import MethodComparison, Row
from tools.research.compare_methods import parse, without_seconds, write_tables

ROWS = (
    Row("float32", 32, Quality(0.5, 0.1, 1.0, 0.0, (float("inf"),)), bytes=4000, file_bytes=4000),
    Row("stock int8", 8, Quality(0.5, 0.1, 0.9, 0.1, (20.0,)), bytes=1000, file_bytes=1000, latency=1.0),
    Row("nearest", 4, Quality(0.4, 0.1, 0.6, 0.3, (9.0,)), bytes=600, file_bytes=600, latency=0.98, seconds=12.0),
)


def test_all_models_of_a_folder_are_in_one_page(tmp_path: Path):
    for name in ("one", "two"):
        made_by = {"when": f"when {name} was made", "command": f"how {name} was made"}
        MethodComparison(name, 10, ROWS).save(tmp_path, name=name, made_by=made_by)
    (tmp_path / "two.png").write_bytes(b"")
    write_tables(tmp_path)
    page = (tmp_path / "tables.md").read_text()
    assert page.index("## one") < page.index("when one was made; `how one was made`") < page.index("## two")
    assert page.count("| nearest | 4 | 40.00 (10.00) | 60.0 | 0.3000 | 9.0 | 0.6 | 0.600 | 0.98 | 12 |") == 2
    assert "![two](two.png)" in page
    assert "one.png" not in page


def test_options():
    options = parse(["--zoo", "here", "--output", "there", "--methods", "nearest", "tfmpq"])
    assert (options.bits, options.methods, options.evaluation) == ([4, 8], ["nearest", "tfmpq"], 500)


def test_times_of_a_busy_machine_are_left_out():
    result = without_seconds(MethodComparison("one", 10, ROWS))
    assert "seconds" not in str(result)
    assert "seconds" in str(MethodComparison("one", 10, ROWS))
