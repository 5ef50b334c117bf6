"""Points that come with the model: those a simulated Keras layer computes with, carried to the file's weights.

They are not chosen again from the file's float weights, where a batch normalization is folded in and rounding could
fall otherwise, but from the Keras weights, exactly as the simulation chose them. Folding multiplies a row by a factor:
its size goes into the scales, its sign is the one the points were chosen for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import ModelError, OptionError
from converters.layers.layer import Layer
from converters.lowering.quantized_layer import scale_floor
from converters.points import code_range
from tfmpq.algorithms import Candidate, Problem
from tfmpq.algorithms.problem import make_candidate
from tfmpq.measure.moments import LayerStatistics
from tfmpq.recipe.rules import LayerSettings
from tfmpq.simulation.points import SimulatedPoints, simulated_points
from tfmpq.sources import SimulatedLayer

_ROUNDING = 2.0**-20  # of a row's largest weight: float32 products and TensorFlow's own way to the factor


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """The points of one layer of the file.

    Attributes:
        candidates: rows with 1, 2, ... points; a row that has fewer is filled up with points of zeros.
        counts: int64 (C,), points of each row.
        notes: what could not be kept as it was simulated.
    """

    candidates: list[Candidate]
    counts: np.ndarray
    notes: tuple[str, ...]


def match_simulated(
    layers: Sequence[Layer], simulated: Mapping[str, SimulatedLayer], settings: Mapping[str, LayerSettings]
) -> dict[str, SimulatedLayer]:
    """The simulated Keras layer behind each layer of the file that has one and is to be quantized.

    Raises:
        ModelError: A simulated layer is not in the file.
        OptionError: A recipe gives a simulated layer other points.
    """
    result = {}
    for layer in layers:
        path = re.sub(r":[a-z_]+(:\d+)?$", "", layer.name)
        if path in simulated:
            result[layer.name] = simulated[path]
    missing = sorted(set(simulated) - {re.sub(r":[a-z_]+(:\d+)?$", "", name) for name in result})
    if missing:
        raise ModelError(
            f"layer '{missing[0]}' is simulated with points, but TensorFlow Lite has no convolution or dense layer of "
            f"its name; the file has {', '.join(layer.name for layer in layers[:5])}, ... Give the layers of the model "
            "names of their own, and do not simulate layers that the outputs do not depend on."
        )
    for name, known in list(result.items()):
        chosen, found = settings[name], known.settings
        if chosen.keep:
            del result[name]
        elif (chosen.bits, chosen.max_points, chosen.algorithm) != (found.bits, found.max_points, found.algorithm):
            raise OptionError(
                f"layer '{name}' computes with {found.bits}-bit points of {found.algorithm!r} (at most "
                f"{found.max_points}), and a recipe asks for {chosen.bits} bits, {chosen.algorithm!r}, at most "
                f"{chosen.max_points}. Drop that rule, or change the layer's config in Keras."
            )
    return result


def fixed_points(layer: Layer, simulated: SimulatedLayer, known: LayerStatistics) -> FixedPoints:
    """The points of a simulated layer for the file's rows.

    Args:
        layer: the file's layer; its float weight is the simulated one, times the factors of folding.
        simulated: what Keras computes with.
        known: the layer's statistics, to measure the candidates' errors with.

    Raises:
        ModelError: The file's weight is not the simulated weight with a factor a row.
    """
    signs = simulated.sign.astype(np.float64)
    points = simulated_points(simulated.rows, simulated.settings, simulated.sign)
    factors = _fold_factors(layer, points.weight().reconstruct() * signs[:, None])
    notes = []
    turned = (factors * signs < 0) & (simulated.rows != 0).any(axis=1)
    if turned.any():
        points = simulated_points(simulated.rows, simulated.settings, np.where(turned, -signs, signs))
        notes.append(
            f"layer '{layer.name}': {turned.sum()} of {layer.channels} rows have the other sign in the file than in "
            "the simulation (a normalization is folded, or not, where the simulation could not know); their points are "
            "chosen for the file's sign."
        )
    candidates, lifted = _scaled(points, np.abs(factors), scale_floor(layer))
    if lifted:
        notes.append(
            f"layer '{layer.name}': {lifted} of {layer.channels} rows are so small beside their bias that 8-bit "
            "activations cannot show them; they are rounded on the smallest scale the runtime can hold."
        )
    columns = layer.weight.shape[1]
    problem = Problem(
        layer.weight.astype(np.float64).reshape(layer.groups, -1, columns),
        known.second_moment(),
        simulated.settings.bits,
        np.zeros((layer.groups, layer.channels // layer.groups)),
    )
    shape = problem.weight.shape
    measured = [
        make_candidate(problem, [p.reshape(shape) for p in codes], [s.reshape(shape[:2]) for s in scales])
        for codes, scales in candidates
    ]
    return FixedPoints(measured, points.counts, tuple(notes))


def with_fixed(settings: Mapping[str, LayerSettings], fixed: Mapping[str, FixedPoints]) -> dict[str, LayerSettings]:
    """The settings, with those of the simulated layers marked and limited to the points they have."""
    return {
        name: replace(chosen, simulated=True, max_points=len(fixed[name].candidates)) if name in fixed else chosen
        for name, chosen in settings.items()
    }


def fixed_counts(fixed: Mapping[str, FixedPoints], orders: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Points of each row of the simulated layers.

    Where a layer shares its channel order with others, rows get points of zeros until none has more points than one
    before it.
    """
    result = {}
    for name, found in fixed.items():
        counts = found.counts.copy()
        if name in orders:
            order = orders[name]
            counts[order] = np.maximum.accumulate(counts[order][::-1])[::-1]
        result[name] = counts
    return result


def _fold_factors(layer: Layer, rows: np.ndarray) -> np.ndarray:
    """Factor (C,) that turns each simulated row into the file's."""
    weight = layer.weight.astype(np.float64)
    if weight.shape == rows.shape:
        energy = (rows**2).sum(axis=1)
        tolerance = _ROUNDING * np.abs(weight).max(axis=1, keepdims=True) + np.finfo(np.float32).tiny
        factors = (weight * rows).sum(axis=1) / np.where(energy > 0, energy, 1.0)
        if (np.abs(weight - factors[:, None] * rows) <= tolerance).all():
            same = (layer.weight == rows.astype(np.float32)).all(axis=1)
            return np.where((energy > 0) & ~same, factors, 1.0)
    raise ModelError(
        f"layer '{layer.name}': its weight in the converted model is not the simulated one with a factor a channel, so "
        "that the points Keras computes with cannot be written. TensorFlow merged it with an operation beside it; "
        "leave this layer without a config, or report the model."
    )


def _scaled(
    points: SimulatedPoints, factors: np.ndarray, floor: np.ndarray
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Codes (n, C, d) and scales (n, C) with 1, 2, ... points, and how many rows the floor has changed."""
    low, high = code_range(points.bits)
    counts, deepest = points.counts, int(points.counts.max())
    weight = points.weight()
    codes = np.stack([p.codes for p in weight.points])
    last = weight.points[0].scale.copy()
    for i, point in enumerate(weight.points):
        last = np.where(counts > i, point.scale, last)
    smallest = (last * factors).astype(np.float32)
    below = smallest < floor
    zero = (codes == 0).all(axis=(0, 2)) | (factors == 0)
    smallest = np.where(below | zero, floor, smallest).astype(np.float32)
    scales = []
    for i, point in enumerate(weight.points):
        # The ratios of radix points are powers of two, which rounding keeps, so that they still merge.
        own = (point.scale * factors).astype(np.float32)
        scales.append(np.where((counts > i) & ~below & ~zero, own, smallest))
    lifted = below & ~zero
    if (lifted | zero).any():
        real = weight.reconstruct() * factors[:, None]
        codes[:, lifted | zero] = 0
        codes[0, lifted] = np.clip(np.rint(real[lifted] / floor[lifted, None]), low, high)
    stacked = np.stack(scales)
    return [(codes[:n], stacked[:n]) for n in range(1, deepest + 1)], int(lifted.sum())
