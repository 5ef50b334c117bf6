"""Reports and what they are made of, by hand."""

from __future__ import annotations

from converters.runtime.delegation import Coverage
from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.activations.losses.rounding import Cure, Range
from tfmpq.plan.lowering_cost import LoweringCost
from tfmpq.report.file_figures import FileFigures
from tfmpq.report.layer_report import LayerReport
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.report import Report

LAYER = LayerReport(
    "block/conv", "CONV_2D", (64, 3, 3, 32), 64, 4, "radix", "parallel", {1: 60, 2: 4}, 19200, 20400, 27.123, 0.36
)


def figures(**changes) -> FileFigures:
    """Of a file."""
    values = {
        "bytes": 1000,
        "deflated": 800,
        "operators": {"CONV_2D": 2},
        "macs": 2_000_000,
        "coverage": Coverage(2, 2, 1, ()),
    }
    return FileFigures(**{**values, **changes})


def make(**changes) -> Report:
    """A report of one layer; whatever is given takes the place of its own."""
    values = {
        "layers": (LAYER,),
        "runtime": "runtime 1.0",
        "float_bytes": 4000,
        "stock": figures(),
        "file": figures(bytes=750, deflated=400, macs=2_500_000, operators={"CONV_2D": 3, "ADD": 1}),
        "extra_bits": 0.0499,
        "proxies": Proxies(8, True, 8, ("output_0",), Closeness(7, (30.0,)), Closeness(6, (20.0,))),
        "fallbacks": (),
        "skipped": (),
        "validation": None,
        "suggestions": (),
        "seconds": {"statistics": 1.25, "points": 2.0},
        "notes": (),
        "images": 100,
        "views": 1,
        "lowering_costs": (
            LoweringCost("as written", 750, 1.013),
            LoweringCost("fused", 1000, 1.0),
            LoweringCost("parallel", 812, 1.251),
        ),
    }
    return Report(**{**values, **changes})


def widest(text: str) -> int:
    """Columns of the longest line."""
    return max(map(len, text.splitlines()))


def loss(layer: str, decibels: float, cure: Cure = "two points", **changes) -> TensorLoss:
    """An activation of so many decibels, with a scale of its own."""
    values = {"op": "ADD", "output": False, "step": decibels, "range": None, **changes}
    span: Range | None = values.pop("range")
    figures = {"sqnr_db": decibels, "with_mean_db": decibels, "by_channel_db": 40.0, "channels": 8, "lost_channels": 0}
    return TensorLoss(f"net/{layer}", layer, cure=cure, range=span, **figures, **values)
