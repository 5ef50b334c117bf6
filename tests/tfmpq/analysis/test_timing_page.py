"""The page of a benchmark: ratios with their intervals, failed runs, operators."""

from __future__ import annotations

from tests.support.pages import read_page
from tfmpq.analysis.coverage import CoverageReport, LeftOut
from tfmpq.analysis.op_times import OpTime, PerOp
from tfmpq.analysis.timing_page import benchmark_page
from tfmpq.benchmark.device import Device
from tfmpq.benchmark.result import BenchmarkResult, Noise, Pair, Run
from tfmpq.html.page import to_html

DEVICE = Device("Chip", 4, None, "Linux-6", "3.11", "runtime 2.3", "2026-01-01T00:00:00+00:00")
PAIR = Pair("a.tflite", 1, "xnnpack", 1.011, 0.99, 1.025, 0.08, 2.5)
TIMES = {"p50_ms": 1.0, "p95_ms": 1.5, "delegated_ops": 1, "ops": 2, "count": 5}


def test_the_page_of_a_benchmark():
    runs = (
        Run("a.tflite", 1000, threads=1, ratio=1.0, ratio_low=1.0, ratio_high=1.0, **TIMES),
        Run("dir/b.tflite", 500, threads=1, ratio=1.25, ratio_low=1.2, ratio_high=1.31, **TIMES),
        Run("c.tflite", None, threads=1, error="it is broken"),
    )
    rows = (
        OpTime(0, "CONV_2D", "stem", (), (), 30.0, 0.75, ""),
        OpTime(1, "CUSTOM", "end", (), (), 10.0, 0.25, "odd"),
    )
    per_op = PerOp(rows, 41.0, 40.0, 1.0, 0.98, (), 15, 1, "xnnpack", "runtime 2.3")
    coverage = CoverageReport(1, 2, 1, (LeftOut(1, "CUSTOM", "end", "custom", "it is one", "do without"),), "runtime")
    result = BenchmarkResult(DEVICE, Noise(2.5, (PAIR,), ("it is loud here",)), runs)
    page = benchmark_page(result, per_op={"a.tflite": per_op}, coverage={"a.tflite": coverage})
    tree = read_page(to_html(page))
    first, second = tree.all("a", class_="point")
    assert list(first.all("line", class_="whisker")) == []  # the first file beside itself has no interval
    assert len(list(second.all("line", class_="whisker"))) == 1
    assert "ratio 1.250 (1.200-1.310)" in (second.attributes["data-tip"] or "")
    said = tree.text()
    for words in ("less than 2.5 % means nothing", "it is loud here", "it is broken", "do without"):
        assert words in said
    widths = [bar.attributes["width"] for bar in tree.all("rect", class_="time")]
    assert widths == ["100", "33.3"]
    taken, left = (square for square in tree.all("li") if square.has("class_", "taken") or square.has("class_", "left"))
    assert taken.has("class_", "taken")
    assert [link.attributes["data-tip"] for link in left.all("a")] == [
        "1: CUSTOM\nend\nleft to the built-in kernels\n10.0 us\nit is one\nodd"
    ]
