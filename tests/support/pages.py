"""Pages and what they are made of, by hand, and a reader for them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from converters.runtime.delegation import Coverage
from tests.support.reports import LAYER, figures, make
from tfmpq.analysis.coverage import CoverageReport, LeftOut
from tfmpq.analysis.diff_page import diff_page
from tfmpq.analysis.diff_result import Diff, LayerDiff
from tfmpq.analysis.op_times import OpTime, PerOp
from tfmpq.analysis.timing_page import benchmark_page
from tfmpq.analysis.worst_samples import WorstSample, WorstSamples
from tfmpq.benchmark.device import Device
from tfmpq.benchmark.result import BenchmarkResult, Noise, Pair, Run
from tfmpq.html.page import Page
from tfmpq.recipe.rules import Rule
from tfmpq.report.like_stock import BudgetFigures, LikeStockFigures
from tfmpq.report.operators import Operator
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.report import Report
from tfmpq.report.suggestion import Suggestion
from tfmpq.sweep.page import summary_page
from tfmpq.sweep.summary import SweepResult

# Markup, the end of a script, an attribute's end, an entity, text that runs backwards, a lone surrogate, a line break.
HOSTILE = "</script><script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>&lt;\u202e\udcff\n"
_VOID = {"br", "img", "meta"}


@dataclass
class Element:
    """An element of a page: its name, attributes, and what is in it."""

    name: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def all(self, name: str, **attributes: str) -> Iterator[Element]:
        """Elements below, of a name and with attributes (``class_``: one of its classes)."""
        for child in self.children:
            if isinstance(child, Element):
                if child.name == name and all(child.has(key, value) for key, value in attributes.items()):
                    yield child
                yield from child.all(name, **attributes)

    def has(self, key: str, value: str) -> bool:
        own = self.attributes.get(key.rstrip("_").replace("_", "-"))
        return own is not None and (value in own.split() if key == "class_" else own == value)

    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)


class _Reader(HTMLParser):
    """Refuses what is not nested as it should be, which browsers mend in ways of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(text: str) -> Element:
    """The page as a tree, if it is well-formed and no two elements have one id."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    (page,) = reader.open
    ids = [e.attributes["id"] for e in everything(page) if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    return page


def everything(element: Element) -> Iterator[Element]:
    for child in element.children:
        if isinstance(child, Element):
            yield child
            yield from everything(child)


def report(count: int, *, name: str = "net/block_{}/conv") -> Report:
    """Of a conversion of so many layers, three operators each."""
    chance = random.Random(0)
    layers, operators = [], []
    for number in range(count):
        bits, before = chance.choice([2, 3, 4, 4, 4, 8]), chance.randint(1000, 90_000)
        layer = replace(
            LAYER,
            name=name.format(number),
            bits=bits,
            bytes_before=before,
            bytes_after=before * bits // 8 + 300,
            sqnr_db=chance.uniform(10, 50),
            error_share=None if bits == 8 else chance.random() / count,
        )
        layers.append(layer)
        for op in ("CONV_2D", "CONV_2D", "CONCATENATION"):
            operators.append(Operator(op, layer.name, f"{layer.name}/{op}/{len(operators)}", number % 7 > 0, True))
    before, after = (sum(getattr(layer, key) for layer in layers) for key in ("bytes_before", "bytes_after"))
    budgets = (
        BudgetFigures(0.0, after * 9 // 10, 1.01, 3.1, None),
        BudgetFigures(0.1, after, 1.02, 1.3, 1.2),
        BudgetFigures(0.3, after * 12 // 10, 1.1, 0.9, 1.0),
    )
    return make(
        layers=tuple(layers),
        operators=tuple(operators),
        float_bytes=4 * before,
        stock=figures(bytes=before + 3000),
        file=figures(bytes=after + 5000, coverage=Coverage(58, 63, 3, ((3, "ADD"),))),
        proxies=Proxies(25, True, 25, ("output_0",), Closeness(24, (30.0,)), Closeness(23, (26.0,))),
        like_stock=LikeStockFigures(
            "predictions", 0, 1, 1.2, 1.0, 0.8, 0.5, 0.3, 32, False, True, 0.1, budgets, None
        ),
        suggestions=(Suggestion(layers[0].name, Rule("^a$", bits=8), 0.31, 1200),),
        notes=(f"a note on {layers[0].name}",),
    )  # fmt: skip


def benchmarked() -> Page:
    """Of three files, one of them broken, and the operators of the first."""
    device = Device("Chip", 4, None, "Linux-6", "3.11", "runtime 2.3", "2026-01-01T00:00:00+00:00")
    pair = Pair("a.tflite", 1, "xnnpack", 1.011, 0.99, 1.025, 0.08, 2.5)
    times = {"p50_ms": 1.0, "p95_ms": 1.5, "delegated_ops": 1, "ops": 2, "count": 5}
    runs = (
        Run("a.tflite", 1000, threads=1, ratio=1.0, ratio_low=1.0, ratio_high=1.0, **times),
        Run("dir/b.tflite", 500, threads=1, ratio=1.25, ratio_low=1.2, ratio_high=1.31, **times),
        Run("c.tflite", None, threads=1, error="it is broken"),
    )
    rows = (
        OpTime(0, "CONV_2D", "stem", (), (), 30.0, 0.75, ""),
        OpTime(1, "CUSTOM", "end", (), (), 10.0, 0.25, "odd"),
    )
    per_op = PerOp(rows, 41.0, 40.0, 1.0, 0.98, (), 15, 1, "xnnpack", "runtime 2.3")
    coverage = CoverageReport(1, 2, 1, (LeftOut(1, "CUSTOM", "end", "custom", "it is one", "do without"),), "runtime")
    result = BenchmarkResult(device, Noise(2.5, (pair,), ("it is loud here",)), runs)
    return benchmark_page(result, per_op={"a.tflite": per_op}, coverage={"a.tflite": coverage})


def compared(layers: int) -> Page:
    """Of two files that differ most on three samples, whose class changes once."""
    found = tuple(
        LayerDiff(f"block_{i}/conv", "CONV_2D", (1, 8, 8, 4), 4, 20.0 + i, 3.0, 15.0 + i, 0.99, 9.0, 0.1)
        for i in range(layers)
    )
    rules = (Suggestion("block_0/conv", Rule("^block_0/conv$", bits=8), 0.3, 100),)
    result = Diff(found, rules, (), (), 0, 40, True, ("builtin", "builtin"), "runtime 2.3")
    image = np.linspace(-1, 1, 16 * 16 * 3).reshape(16, 16, 3)
    samples = (
        WorstSample(7, 3.2, ((1, 0.5), (2, 0.3)), ((2, 0.45), (1, 0.4)), image),
        WorstSample(9, 5.0, ((3, 0.9), (2, 0.05)), ((3, 0.8), (2, 0.15)), -image),
        WorstSample(2, math.inf, ((3, 0.9), (2, 0.05)), ((3, 0.9), (2, 0.05)), image / 2),
    )
    return diff_page(result, WorstSamples(samples, 40, 1), first="float.tflite", second="net.tflite")


def sweep_rows(models: int, budgets: int, layers: int, *, name: str = "model {}") -> list[dict[str, Any]]:
    """Rows of a sweep as its journal has them: float32, stock and so many budgets for each model."""
    chance = random.Random(0)
    rows = []
    for number in range(models):
        model = name.format(number)
        for variant, budget in (("float32", ""), ("stock", ""), *(("w4", f"extra:{i}") for i in range(budgets))):
            share = {"float32": 4.0, "stock": 1.0}.get(variant, 0.55 + 0.05 * len(budget) + 0.02 * chance.random())
            rows.append(
                {
                    "kind": "row", "key": f"{len(rows)}", "model": model, "variant": variant, "budget": budget,
                    "file": "f.tflite", "bytes": int(100_000 * share), "stock_bytes": 100_000, "samples": 500,
                    "agreement": round(500 * (0.9 + 0.1 * chance.random())) / 500, "top1": 0.75, "top1_error": 0.019,
                    "sqnr_db": 20.0, "latency": 0.9 + 0.2 * chance.random(), "seconds": 10.0, "host": "here",
                    "warnings": [],
                }
            )  # fmt: skip
            if variant == "w4":
                rows[-1]["layers"] = [
                    {
                        "name": f"{model}/block_{i}/conv", "lowering": chance.choice(["split", "fused"]),
                        "bits": chance.choice([3, 4, 8]), "bytes": chance.randint(500, 9000),
                        "sqnr_db": None if i == 0 else round(chance.uniform(10, 40), 2),
                        "error_share": round(chance.random() / layers, 5),
                    }
                    for i in range(layers)
                ]  # fmt: skip
    return rows


def sweep(models: int, budgets: int, layers: int, *, name: str = "model {}") -> Page:
    """Of a sweep in which one row failed and one is not there yet."""
    rows = sweep_rows(models, budgets, layers, name=name)
    error = {"type": "ModelError", "message": f"no layer in {name}"}
    rows.append({**rows[-1], "budget": "extra:9", "error": error})
    return summary_page(SweepResult(Path("fleet"), len(rows) + 1, rows))
