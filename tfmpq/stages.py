"""The middle of the pipeline: statistics to points for every layer, and the choice of how many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Literal

import numpy as np

from converters.layers.layer import Layer
from converters.lowering.quantized_layer import scale_floor
from converters.lowering.split import can_store_int4
from converters.points import merge
from converters.reference.gradients import channel_gradients
from converters.tflite.graph import Model
from tfmpq.algorithms import ALGORITHMS, Candidate, Problem
from tfmpq.algorithms.assembly import assemble, corrected_bias
from tfmpq.algorithms.problem import output_error
from tfmpq.emit.write import Rows
from tfmpq.measure.moments import LayerStatistics, Samples
from tfmpq.measure.sensitivity import RoundedLayer, channel_gains, measure_layers
from tfmpq.plan.allocation import LayerOptions, allocate, epsilon_counts
from tfmpq.plan.layer_plan import LayerPlan, Plan
from tfmpq.progress import Progress
from tfmpq.recipe.rules import LayerSettings, Recipe
from tfmpq.threads import serial_blas

Sensitivity = Literal["auto", "energy", "kl", "kl+gradient"]

SMALL_LAYER = 0.01  # of the model's weights; in parallel files 8 bits below that cut MobileNetV2's KL by a fifth
LARGE_LAYER = 0.1  # of the model's weights: too many bytes to leave a last layer at 8 bits unasked
SENSITIVITY_SAMPLES = 32  # more change the measured costs by less than their spread over images
GRADIENT_SAMPLES = 64


@dataclass(frozen=True)
class Costs:
    """What rounding costs at the network's output.

    Attributes:
        layers: layer name -> cost with one point in every row, in the measure's own unit.
        gradients: layer name -> (C,) weights of its channels, or None where they are not known.
        notes: what had to be left out, and why.
    """

    layers: Mapping[str, float]
    gradients: Mapping[str, np.ndarray] | None
    notes: tuple[str, ...] = ()


def resolve_settings(
    layers: Sequence[Layer], recipe: Recipe, *, bits: int, max_points: int | None, algorithm: str, lowering: str
) -> dict[str, LayerSettings]:
    """Settings of every layer.

    First, last, depthwise and small layers default to 8 bits: few bytes, much error. Where the size of the file is at
    stake (``auto``, ``split``) a last layer with many weights does not, as a classifier may hold a third of them, and
    neither do small layers that can be stored as INT4: a second point for all rows is the same and has to earn its
    bytes. Unless a rule says otherwise, 8-bit rows among lower ones have one point: 8-bit activations could not use a
    second.
    """
    recipe.check([layer.name for layer in layers], ALGORITHMS)
    total = sum(layer.weight.size for layer in layers)
    result = {}
    for layer in layers:
        share = layer.weight.size / total
        by_size = recipe.resolve(layer.name, LayerSettings(bits, 0, algorithm, lowering)).lowering in ("auto", "split")
        small = share < SMALL_LAYER and not (by_size and can_store_int4(layer, layer.channels, bits))
        last = layer.is_last and not (by_size and share >= LARGE_LAYER)
        tender = layer.is_first or last or layer.kind.per_channel or small
        settings = recipe.resolve(layer.name, LayerSettings(8 if tender else bits, 0, algorithm, lowering))
        if settings.max_points == 0:
            default = 1 if settings.bits == 8 else 2
            asked = max_points is not None and (settings.bits < 8 or bits == 8)
            settings = replace(settings, max_points=max_points if asked else default)
        result[layer.name] = settings
    return result


def quantize_layers(
    layers: Sequence[Layer],
    settings: Mapping[str, LayerSettings],
    statistics: Mapping[str, LayerStatistics],
    progress: Progress,
) -> dict[str, list[Candidate]]:
    """Candidates with 1..max_points points for every layer."""
    result = {}
    for layer in progress(layers, len(layers), "points"):
        chosen = settings[layer.name]
        algorithm = ALGORITHMS[chosen.algorithm]
        known = statistics[layer.name]
        columns = layer.weight.shape[1]
        problem = Problem(
            layer.weight.astype(np.float64).reshape(layer.groups, -1, columns),
            known.covariance if algorithm.corrects_bias else known.second_moment(),
            chosen.bits,
            scale_floor(layer).reshape(layer.groups, -1),
        )
        with serial_blas():
            result[layer.name] = algorithm.quantize(problem, chosen.max_points)
    return result


def merges(candidates: Sequence[Candidate], settings: LayerSettings) -> bool:
    """Whether rows with all points merge into int8 rows."""
    counts = np.full(candidates[0].error.size, len(candidates), np.int64)
    return merge(assemble(candidates, counts, settings.bits)) is not None


def make_rows(
    layer: Layer, settings: LayerSettings, candidates: Sequence[Candidate], counts: np.ndarray, known: LayerStatistics
) -> Rows:
    """Points and biases of a layer for chosen counts.

    A simulated layer keeps its biases too: they were trained with its points.
    """
    weight = assemble(candidates, counts, settings.bits)
    if settings.simulated or not ALGORITHMS[settings.algorithm].corrects_bias:
        return Rows(weight, tuple(use.bias for use in layer.uses))
    real = weight.reconstruct()
    return Rows(
        weight,
        tuple(
            corrected_bias(use.bias, layer.weight, real, mean, quantized_mean)
            for use, mean, quantized_mean in zip(layer.uses, known.means, known.quantized_means, strict=True)
        ),
    )


def measure_costs(
    model: Model,
    layers: Sequence[Layer],
    settings: Mapping[str, LayerSettings],
    candidates: Mapping[str, list[Candidate]],
    statistics: Mapping[str, LayerStatistics],
    samples: Samples,
    *,
    measure: Sensitivity,
    seed: int,
    progress: Progress,
) -> Costs:
    """Cost of every layer at the network's output by the chosen measure.

    ``energy`` is free: error over output energy. ``kl`` runs the network once a layer. ``kl+gradient`` also weights the
    channels of a layer by squared gradients; ``auto`` is that where every op of the model can be differentiated.
    """
    if measure == "energy":
        return Costs({layer.name: _relative_error(layer, candidates, statistics) for layer in layers}, None)
    rounded = {}
    for layer in layers:
        one = np.ones(layer.channels, np.int64)
        rows = make_rows(layer, settings[layer.name], candidates[layer.name], one, statistics[layer.name])
        rounded[layer.name] = RoundedLayer(rows.weight.reconstruct(), rows.biases)
    few = islice(samples(), SENSITIVITY_SAMPLES)
    costs = measure_layers(model, layers, rounded, few, progress=progress)
    if measure == "kl" or all(settings[layer.name].max_points == 1 for layer in layers):
        return Costs(costs, None)
    graph = model.graph
    feeds = dict(model.signatures[0].inputs) if model.signatures else {t.name: t for t in graph.inputs}
    result = channel_gradients(
        graph, layers, islice(samples(), GRADIENT_SAMPLES), feeds, limit=GRADIENT_SAMPLES, seed=seed
    )
    if result.values is None:
        return Costs(costs, None, (f"channels are weighted equally within a layer: {result.reason}",))
    return Costs(costs, result.values)


def _relative_error(
    layer: Layer, candidates: Mapping[str, list[Candidate]], statistics: Mapping[str, LayerStatistics]
) -> float:
    energy = output_energy(layer, statistics[layer.name]).sum()
    return float(candidates[layer.name][0].error.sum() / energy) if energy > 0 else 0.0


def output_energy(layer: Layer, known: LayerStatistics, *, centred: bool = True) -> np.ndarray:
    """Variance (or mean square, bias left aside) of every output channel over the calibration data, (C,)."""
    rows = layer.weight.astype(np.float64).reshape(layer.groups, -1, layer.weight.shape[1])
    return output_error(rows, known.covariance if centred else known.second_moment()).reshape(-1)


def layer_gains(
    layers: Sequence[Layer], candidates: Mapping[str, list[Candidate]], costs: Costs
) -> dict[str, np.ndarray]:
    """(C, max_points - 1) predicted fall of the network's loss for every layer."""
    result = {}
    for layer in layers:
        errors = np.stack([c.error for c in candidates[layer.name]])
        weights = None if costs.gradients is None else costs.gradients[layer.name]
        result[layer.name] = channel_gains(errors, costs.layers[layer.name], weights)
    return result


def row_bytes(layer: Layer, settings: LayerSettings) -> float:
    """Bytes of one point of one row: packed codes and a scale."""
    return layer.weight.shape[1] * settings.bits / 8 + 4


def base_bytes(layers: Sequence[Layer], settings: Mapping[str, LayerSettings]) -> float:
    """Bytes of all one-point rows of the layers below 8 bits: what ExtraBits is a fraction of."""
    low = [layer for layer in layers if settings[layer.name].bits < 8]
    return sum(layer.channels * row_bytes(layer, settings[layer.name]) for layer in low)


def knapsack(
    layers: Sequence[Layer],
    settings: Mapping[str, LayerSettings],
    gains: Mapping[str, np.ndarray],
    orders: Mapping[str, np.ndarray],
    fixed: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Callable[[float], Plan]:
    """Budget in bytes -> plan; the layers in ``fixed`` have their counts already."""
    options = [
        LayerOptions(layer.name, gains[layer.name], row_bytes(layer, settings[layer.name]), orders.get(layer.name))
        for layer in layers
        if layer.name not in fixed
    ]

    def choose(budget: float) -> Plan:
        counts = {**allocate(options, budget), **fixed}
        return Plan({layer.name: LayerPlan(settings[layer.name], counts[layer.name]) for layer in layers})

    return choose


def epsilon_plan(
    layers: Sequence[Layer],
    settings: Mapping[str, LayerSettings],
    candidates: Mapping[str, list[Candidate]],
    statistics: Mapping[str, LayerStatistics],
    orders: Mapping[str, np.ndarray],
    epsilon: float,
    fixed: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Plan:
    """The paper's rule per channel; layers that share a channel order serve every row up to the last that needs it.

    The layers in ``fixed`` have their counts already.
    """
    result = {}
    for layer in layers:
        if layer.name in fixed:
            result[layer.name] = LayerPlan(settings[layer.name], fixed[layer.name])
            continue
        centred = ALGORITHMS[settings[layer.name].algorithm].corrects_bias
        errors = np.stack([c.error for c in candidates[layer.name]])
        counts = epsilon_counts(errors, output_energy(layer, statistics[layer.name], centred=centred), epsilon)
        if layer.name in orders:
            order = orders[layer.name]
            counts[order] = np.maximum.accumulate(counts[order][::-1])[::-1]
        result[layer.name] = LayerPlan(settings[layer.name], counts)
    return Plan(result)


def remaining_costs(
    layers: Sequence[Layer], candidates: Mapping[str, list[Candidate]], costs: Costs, plan: Plan
) -> dict[str, float]:
    """Each layer's cost at the network's output once its rows have the points of ``plan``."""
    gains = layer_gains(layers, candidates, costs)
    result = {}
    for layer in layers:
        counts = plan.layers[layer.name].counts
        taken = np.arange(1, gains[layer.name].shape[1] + 1)[None, :] < counts[:, None]
        result[layer.name] = max(costs.layers[layer.name] - float(gains[layer.name][taken].sum()), 0.0)
    return result
