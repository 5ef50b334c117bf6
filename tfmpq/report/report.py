"""The report of a conversion, as data: what was done to every layer, what the file costs, and what to try next."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converters.layers.layer import Skipped
from tfmpq.plan.layer_plan import Fallback
from tfmpq.recipe.rules import Rule
from tfmpq.report.file_figures import FileFigures
from tfmpq.report.proxies import Proxies

if TYPE_CHECKING:
    from tfmpq.emit.validation import ValidationReport
    from tfmpq.plan.choice import LoweringCost

STOCK = "stock"


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        name: the user's Keras layer name.
        op: operator that computed it in the float model, such as ``CONV_2D``.
        shape: shape of its weight in the file's layout.
        rows: output channels.
        bits: bits of a point; 8 for layers kept as stock has them.
        algorithm: what chose the points; None for kept layers.
        lowering: ``"parallel"``, ``"split"`` or ``"fused"`` as written, ``"stock"`` for kept layers.
        points: points per row -> number of rows.
        bytes_before: constants (weights, biases, scales) of its operators in the stock int8 file.
        bytes_after: the same in the emitted file.
        sqnr_db: output signal to weight rounding noise over the calibration data; inf: exact; None: no statistics.
        error_share: part of the predicted error at the network's output, 0..1; None for kept layers.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    rows: int
    bits: int
    algorithm: str | None
    lowering: str
    points: dict[int, int]
    bytes_before: int
    bytes_after: int
    sqnr_db: float | None
    error_share: float | None


@dataclass(frozen=True)
class Suggestion:
    """A rule that would take away most of a layer's error.

    Attributes:
        layer: the layer the rule matches.
        rule: for the recipe of the next conversion.
        error_share: the layer's part of the total error, 0..1.
        added_bytes: by how much the file grows (it may shrink).
    """

    layer: str
    rule: Rule
    error_share: float
    added_bytes: int


@dataclass(frozen=True)
class Report:
    """Everything worth knowing about a conversion; print it, or take :meth:`to_dict`.

    Attributes:
        layers: in graph order.
        runtime: interpreter that gave the delegate coverage and the proxies.
        float_bytes: size of the float file.
        stock, file: figures of the stock int8 file and of the emitted one.
        extra_bits: bytes of further points / bytes of all one-point rows of the layers below 8 bits; None if there
            are no such layers.
        proxies: closeness to the float model on a few samples; None without samples.
        fallbacks: layers that could not be written as asked.
        skipped: ops that stay as stock has them, and why.
        validation: result of the file's check; None if it was switched off.
        suggestions: rules for the layers that cost most.
        seconds: time of each stage.
        notes: what else the user should know.
        images, views: calibration samples, and views made of each.
        lowering_costs: size and predicted latency of the same points as written and in each lowering.
    """

    layers: tuple[LayerReport, ...]
    runtime: str
    float_bytes: int
    stock: FileFigures
    file: FileFigures
    extra_bits: float | None
    proxies: Proxies | None
    fallbacks: tuple[Fallback, ...]
    skipped: tuple[Skipped, ...]
    validation: ValidationReport | None
    suggestions: tuple[Suggestion, ...]
    seconds: dict[str, float]
    notes: tuple[str, ...]
    images: int
    views: int
    lowering_costs: tuple[LoweringCost, ...]

    def ops_added(self) -> dict[str, int]:
        """Operator name -> how many more (or fewer) than in the stock file; unchanged ones are left out."""
        difference = Counter(self.file.operators)
        difference.subtract(self.stock.operators)
        return {name: count for name, count in sorted(difference.items()) if count}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no infinity: the SQNR of exact results becomes None."""
        result = dataclasses.asdict(self)
        result["ops_added"] = self.ops_added()
        for entry, suggestion in zip(result["suggestions"], self.suggestions, strict=True):
            entry["rule"] = {"match": suggestion.rule.match, **suggestion.rule.settings()}
        return _plain(result)

    def to_json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        from tfmpq.report.report_text import render

        return render(self)


def _plain(value: Any) -> Any:
    """Only what JSON knows: text keys, lists, finite numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
