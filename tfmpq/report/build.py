"""Measures an emitted file and gathers what its conversion decided."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from converters.layers.layer import Layer, Skipped
from converters.layers.output_kind import output_kind
from converters.reference.position_gradients import Relevance
from converters.runtime.interpreter import make_interpreter, runtime_name
from converters.tflite.file import File
from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.activations.subject import Mended
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.emit.eight_bits import int8_rows
from tfmpq.emit.validation import ValidationReport
from tfmpq.emit.write import Emission
from tfmpq.measure.output_noise import RowsInUse, output_noise
from tfmpq.options import Optimize
from tfmpq.plan.choice import base_bytes, further_bytes
from tfmpq.plan.layer_plan import LayerPlan
from tfmpq.plan.lowering_cost import LoweringCost
from tfmpq.plan.unspent import Unspent
from tfmpq.recipe.rules import Rule
from tfmpq.report.file_figures import constant_bytes, measure_file
from tfmpq.report.layer_report import STOCK, LayerReport
from tfmpq.report.notes import activation_notes, blameless, few_bit_notes, storage_notes
from tfmpq.report.operators import operators_of
from tfmpq.report.output_signs import output_signs
from tfmpq.report.proxies import Feed, measure_proxies
from tfmpq.report.report import Report
from tfmpq.report.suggestion import Suggestion
from tfmpq.report.weight_share import weight_share
from tfmpq.stages import Measured, Network, Written
from tfmpq.suspicion.suspicion import Suspicion

MAX_SAMPLES = 32  # more change the proxies by less than their spread over samples, and take time
MAX_SUGGESTIONS, MIN_SUGGESTED_SHARE = 5, 0.01


def build_report(
    network: Network,
    file: File,
    layers: Sequence[Measured],
    emission: Emission,
    *,
    skipped: Sequence[Skipped],
    samples: Sequence[Feed],
    relevance: Relevance = MappingProxyType({}),
    fitted: bool,
    validation: ValidationReport | None,
    seconds: Mapping[str, float],
    images: int,
    views: int,
    notes: Sequence[str],
    warnings: Sequence[Suspicion] = (),
    lowering_costs: Sequence[LoweringCost],
    unspent: Unspent | None = None,
    optimize: Optimize = "file",
    eight_bits: bytes | None = None,
    losses: Sequence[TensorLoss] = (),
    mended: Sequence[Mended] = (),
    loops: Collection[int] = (),
    dynamic: bool = False,
) -> Report:
    """Measures the emitted file and gathers what the conversion decided.

    Args:
        network: the float model and its stock int8 twin.
        file: the emitted file.
        layers: all layers, in graph order.
        emission: the file with those that were rewritten; the others are as stock has them.
        skipped: ops that are no layers of ours, and why.
        samples: float feeds by signature input name, to measure on; at most the first 32 are run.
        relevance: the positions that count in those, of layers that have others too.
        fitted: whether the weights were fitted to these very samples.
        validation: result of the file's check.
        seconds: time of each stage.
        images, views: calibration samples, and views made of each.
        notes: what else the user should know.
        warnings: signs that data or activations are not right.
        lowering_costs: of the plan, see :func:`tfmpq.plan.choice.lowering_costs`.
        unspent: what is left of the budget, and why.
        optimize: which size the conversion was to make small.
        eight_bits: the file with 8-bit rows (:mod:`tfmpq.emit.eight_bits`), which separates what activations lose.
        losses: what int8 loses of every activation.
        mended: what was done for activations, and for the codes of LSTMs.
        loops: numbers of the graphs that have reports of their own.
    """
    stock_interpreter = make_interpreter(network.stock.content, label="the stock int8 file")
    interpreter = make_interpreter(file.content, label="tfmpq's file")
    written = emission.layers
    decibels = _decibels(network, layers, written, samples[:MAX_SAMPLES], relevance)
    reports = _layer_reports(file, layers, written, decibels)
    proxies = measure_proxies(
        network.float_model.flatbuffer,
        stock_interpreter,
        interpreter,
        samples[:MAX_SAMPLES],
        kind=output_kind(network.model.graph),
        held_back=not fitted,
        activations=None if eight_bits is None else make_interpreter(eight_bits, label="the file with 8-bit rows"),
    )
    floating, figures = dynamic, measure_file(file, interpreter)
    few = () if floating else few_bit_notes(layers)
    told = () if floating else few or activation_notes(proxies)
    suggestions = () if blameless(proxies) else _suggestions(reports, _further_bytes(written, unspent))
    return Report(
        layers=tuple(reports),
        runtime=runtime_name(),
        float_bytes=len(network.float_model.flatbuffer),
        stock=measure_file(network.stock, stock_interpreter),
        file=figures,
        extra_bits=_extra_bits(written),
        proxies=proxies,
        fallbacks=emission.fallbacks,
        skipped=tuple(skipped),
        validation=validation,
        suggestions=suggestions,
        seconds=dict(seconds),
        notes=(*notes, *storage_notes(written, optimize), *told),
        images=images,
        views=views,
        lowering_costs=tuple(lowering_costs),
        warnings=(*warnings, *output_signs(proxies, warnings, few_bits=bool(few))),
        unspent=None if unspent is None else str(unspent),
        losses=tuple(losses),
        mended=tuple(mended),
        activations="float" if floating else "int8",
        weights=weight_share(
            network.model, file.model, _as_written(layers, written), network.float_model.names, without=loops
        ),
        operators=operators_of(file.model, figures.coverage, _outputs(layers, written)),
    )


def _outputs(layers: Sequence[Measured], written: Sequence[Written]) -> dict[str, str]:
    """What the operators of each layer write in the file -> the layer."""
    found = {use.int8_op.outputs[0].name: layer.name for layer in layers for use in layer.layer.uses}
    return found | {name: entry.name for entry in written for name in entry.lowered.outputs}


def _as_written(layers: Sequence[Measured], written: Sequence[Written]) -> list[Measured]:
    by_name = {entry.name: entry for entry in written}
    return [by_name.get(layer.name, layer) for layer in layers]


def _decibels(
    network: Network,
    layers: Sequence[Measured],
    written: Sequence[Written],
    samples: Sequence[Feed],
    relevance: Relevance,
) -> dict[str, float]:
    """Output signal to weight rounding noise of every layer, in dB, where its outputs count."""
    by_name = {entry.name: entry for entry in written}
    rows = []
    for layer in layers:
        entry = by_name.get(layer.name)
        if entry is None:  # stock leaves the shift of the mean in
            rows.append(RowsInUse(layer.layer, _stock_rows(layer.layer), None))
        else:
            means = entry.statistics.means if entry.corrects_bias else None
            rows.append(RowsInUse(entry.layer, entry.points.rows, means))
    noise = output_noise(network.model, rows, samples, relevance=relevance)
    return {name: sqnr_db(*found) for name, found in noise.items()}


def _stock_rows(layer: Layer) -> Callable[[slice], np.ndarray]:
    codes, scales = int8_rows(layer)
    return lambda part: codes[part] * scales[part, None].astype(np.float64)


def _layer_reports(
    file: File, layers: Sequence[Measured], written: Sequence[Written], decibels: Mapping[str, float]
) -> list[LayerReport]:
    by_name = {entry.name: entry for entry in written}
    op_of = {tensor.name: op for op in file.graph.ops for tensor in op.outputs}
    remaining = {entry.name: entry.remaining_cost(entry.counts) for entry in written}
    # Nothing was chosen for given points, and nothing can be: their share of the error is no news.
    total = sum(remaining[entry.name] for entry in written if entry.given is None)
    result = []
    for layer in layers:
        before = constant_bytes(use.int8_op for use in layer.layer.uses)
        entry = by_name.get(layer.name)
        if entry is None:
            result.append(_kept(layer, before, decibels[layer.name]))
            continue
        after = constant_bytes(op_of[name] for name in entry.lowered.outputs)
        share = None if entry.given is not None else remaining[entry.name] / total if total > 0 else 0.0
        result.append(_rewritten(entry, before, after, decibels[layer.name], share))
    return result


def _rewritten(entry: Written, before: int, after: int, sqnr: float, share: float | None) -> LayerReport:
    settings = entry.settings
    points = LayerPlan(settings, entry.counts).histogram()
    return LayerReport(
        *_identity(entry.layer), settings.bits, settings.algorithm, entry.lowered.lowering, points, before, after,
        sqnr, share, entry.statistics.blocks,
    )  # fmt: skip


def _kept(layer: Measured, size: int, sqnr: float) -> LayerReport:
    """A layer as stock quantized it: one point of 8 bits a row."""
    return LayerReport(*_identity(layer.layer), 8, None, STOCK, {1: layer.layer.channels}, size, size, sqnr, None)


def _identity(layer: Layer) -> tuple[str, str, tuple[int, ...], int]:
    op = layer.uses[0].float_op
    return layer.name, op.name, op.input(layer.site.weight).shape, layer.channels


def _extra_bits(written: Sequence[Written]) -> float | None:
    base = base_bytes(written)
    return sum(further_bytes(written).values()) / base if base else None


def _further_bytes(written: Sequence[Written], unspent: Unspent | None) -> dict[str, int]:
    """Bytes of the budget that other layers may take once a layer has 8 bits: its further points, and what is left."""
    left = 0.0 if unspent is None else unspent.bytes
    return {name: math.ceil(own + left) for name, own in further_bytes(written).items()}


def _suggestions(layers: Sequence[LayerReport], further: Mapping[str, int]) -> tuple[Suggestion, ...]:
    """8 bits for the layers that cost most, worst first, each with the most by which the file can grow."""
    shares = {layer.name: layer.error_share or 0.0 for layer in layers if layer.bits < 8}
    worst = sorted(shares, key=lambda name: -shares[name])[:MAX_SUGGESTIONS]
    # One 8-bit point a row takes what stock takes.
    growth = {x.name: x.bytes_before - x.bytes_after + further.get(x.name, 0) for x in layers}
    return tuple(
        Suggestion(name, Rule(f"^{re.escape(name)}$", bits=8), shares[name], growth[name])
        for name in worst
        if shares[name] >= MIN_SUGGESTED_SHARE
    )
