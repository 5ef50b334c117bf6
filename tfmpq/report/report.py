"""The report of a conversion: what was done to every layer, what the file costs, and what to try next."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.layers.layer import Layer, Skipped
from converters.lowering.result import Lowered
from converters.points import MultipointWeight
from converters.runtime.interpreter import make_interpreter, runtime_name
from converters.tflite.reader import load
from tfmpq.algorithms import ALGORITHMS
from tfmpq.algorithms.problem import output_error
from tfmpq.measure.moments import LayerStatistics
from tfmpq.plan.layer_plan import Fallback
from tfmpq.recipe.rules import LayerSettings, Rule
from tfmpq.report.file_figures import FileFigures, constant_bytes, measure_file
from tfmpq.report.proxies import Proxies, measure_proxies, sqnr_db
from tfmpq.report.report_text import render
from tfmpq.stages import base_bytes, output_energy, row_bytes

if TYPE_CHECKING:
    from tfmpq.emit.validation import ValidationReport
    from tfmpq.plan.choice import LoweringCost

MAX_SAMPLES = 32  # more change the proxies by less than their spread over samples, and take time
MAX_SUGGESTIONS, MIN_SUGGESTED_SHARE = 5, 0.01
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


def build_report(
    *,
    float_file: bytes,
    stock_file: bytes,
    file: bytes,
    layers: Sequence[Layer],
    settings: Mapping[str, LayerSettings],
    weights: Mapping[str, MultipointWeight],
    statistics: Mapping[str, LayerStatistics],
    costs: Mapping[str, float],
    lowered: Sequence[Lowered],
    skipped: Sequence[Skipped],
    fallbacks: Sequence[Fallback],
    held_back: Sequence[dict[str, np.ndarray]],
    held_back_is_calibration: bool,
    validation: ValidationReport | None,
    seconds: Mapping[str, float],
    images: int,
    views: int,
    notes: Sequence[str] = (),
    lowering_costs: Sequence[LoweringCost] = (),
    uncounted: Collection[str] = (),
) -> Report:
    """Measures the emitted file and gathers what the conversion decided.

    Args:
        float_file, stock_file, file: the float file, its stock int8 twin and the emitted file.
        layers: in graph order; their int8 ops are those of the stock file, unchanged.
        settings: of every layer.
        weights: points of every layer that is not kept as stock has it, rows in the model's own channel order.
        statistics: input moments; layers that have none get no SQNR.
        costs: predicted cost of each layer of ``weights`` at the network's output, in any unit.
        lowered: how each of them was written.
        skipped: ops that are no layers of ours, and why.
        fallbacks: layers not written as asked.
        held_back: float feeds by signature input name; at most the first 32 are run.
        held_back_is_calibration: whether the weights were fitted to these very samples.
        validation: result of the file's check.
        seconds: time of each stage.
        images, views: calibration samples, and views made of each.
        notes: what else the user should know.
        lowering_costs: of the plan, see :func:`tfmpq.plan.choice.lowering_costs`.
        uncounted: layers whose further points are not counted as extra bits: they are int8 for speed.
    """
    stock_graph, graph = load(stock_file).graph, load(file).graph
    stock_interpreter, interpreter = make_interpreter(stock_file), make_interpreter(file)
    written = {entry.layer: entry for entry in lowered}
    op_of = {tensor.name: op for op in graph.ops for tensor in op.outputs}
    # Nothing was chosen for simulated layers, and nothing can be: their share of the error is no news.
    total_cost = sum(max(costs[name], 0.0) for name in weights if not settings[name].simulated)
    reports = []
    for layer in layers:
        before = constant_bytes(use.int8_op for use in layer.uses)
        known = statistics.get(layer.name)
        if layer.name not in weights:
            reports.append(_kept_layer(layer, known, before))
            continue
        entry, cost = written[layer.name], max(costs[layer.name], 0.0)
        after = constant_bytes(op_of[name] for name in entry.outputs)
        share = None if settings[layer.name].simulated else cost / total_cost if total_cost > 0 else 0.0
        weight = weights[layer.name]
        reports.append(_layer(layer, settings[layer.name], weight, entry.lowering, known, before, after, share))
    return Report(
        layers=tuple(reports),
        runtime=runtime_name(),
        float_bytes=len(float_file),
        stock=measure_file(stock_file, stock_graph, stock_interpreter),
        file=measure_file(file, graph, interpreter),
        extra_bits=_extra_bits([layer for layer in layers if layer.name in weights], settings, weights, uncounted),
        proxies=measure_proxies(
            float_file,
            stock_interpreter,
            interpreter,
            held_back[:MAX_SAMPLES],
            held_back=not held_back_is_calibration,
        ),
        fallbacks=tuple(fallbacks),
        skipped=tuple(skipped),
        validation=validation,
        suggestions=_suggestions(reports),
        seconds=dict(seconds),
        notes=tuple(notes),
        images=images,
        views=views,
        lowering_costs=tuple(lowering_costs),
    )


def _layer(
    layer: Layer,
    settings: LayerSettings,
    weight: MultipointWeight,
    lowering: str,
    known: LayerStatistics | None,
    before: int,
    after: int,
    share: float | None,
) -> LayerReport:
    points = {int(n): int(rows) for n, rows in zip(*np.unique(weight.counts, return_counts=True), strict=True)}
    centred = ALGORITHMS[settings.algorithm].corrects_bias and not settings.simulated
    sqnr = _output_sqnr(layer, weight.reconstruct(), known, centred=centred)
    return LayerReport(
        *_identity(layer), settings.bits, settings.algorithm, lowering, points, before, after, sqnr, share
    )


def _kept_layer(layer: Layer, known: LayerStatistics | None, size: int) -> LayerReport:
    """A layer as stock quantized it: one point of 8 bits a row."""
    stock = layer.uses[0].int8_op.input(layer.site.weight)
    assert stock.quantization is not None, stock.name
    real = layer.kind.rows(stock.array()) * stock.quantization.scale.astype(np.float64)[:, None]
    sqnr = _output_sqnr(layer, real, known, centred=False)  # stock leaves the shift of the mean in
    return LayerReport(*_identity(layer), 8, None, STOCK, {1: layer.channels}, size, size, sqnr, None)


def _identity(layer: Layer) -> tuple[str, str, tuple[int, ...], int]:
    op = layer.uses[0].float_op
    return layer.name, op.name, op.input(layer.site.weight).shape, layer.channels


def _output_sqnr(layer: Layer, real: np.ndarray, known: LayerStatistics | None, *, centred: bool) -> float | None:
    """Variance of the layer's outputs over the noise of its rounded weight ``real`` (C, d).

    ``centred``: the bias makes up for the shift of the mean; otherwise that shift is noise too.
    """
    if known is None:
        return None
    delta = (real - layer.weight).reshape(layer.groups, -1, layer.weight.shape[1])
    noise = output_error(delta, known.covariance if centred else known.second_moment())
    return sqnr_db(float(output_energy(layer, known).sum()), float(noise.sum()))


def _extra_bits(
    layers: Sequence[Layer],
    settings: Mapping[str, LayerSettings],
    weights: Mapping[str, MultipointWeight],
    uncounted: Collection[str],
) -> float | None:
    base = base_bytes(layers, settings)
    further = sum(
        int((weights[layer.name].counts - 1).sum()) * row_bytes(layer, settings[layer.name])
        for layer in layers
        if layer.name not in uncounted
    )
    return further / base if base else None


def _suggestions(layers: Sequence[LayerReport]) -> tuple[Suggestion, ...]:
    """8 bits for the layers that cost most, worst first."""
    shares = {layer.name: layer.error_share or 0.0 for layer in layers if layer.bits < 8}
    worst = sorted(shares, key=lambda name: -shares[name])[:MAX_SUGGESTIONS]
    # One 8-bit point a row takes what stock takes.
    growth = {layer.name: layer.bytes_before - layer.bytes_after for layer in layers}
    return tuple(
        Suggestion(name, Rule(f"^{re.escape(name)}$", bits=8), shares[name], growth[name])
        for name in worst
        if shares[name] >= MIN_SUGGESTED_SHARE
    )
