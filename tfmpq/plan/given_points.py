"""Points that come with the model or from the caller: they are exported and carried to the file, not chosen again.

Those of a simulated Keras layer are not chosen from the file's float weights, where a batch normalization is folded in
and rounding could fall otherwise, but exported by the layer. Folding multiplies a row by a factor: its size goes into
the scales, its sign is the one the points were chosen for.
"""

from __future__ import annotations

import numpy as np

from converters.errors import ModelError, OptionError
from converters.layers.layer import Layer
from converters.lowering.quantized_layer import scale_ceiling, scale_floor
from converters.points import MultipointWeight, Point, code_range, row_parts
from tfmpq.algorithms import Candidate, LayerStatistics, Problem
from tfmpq.algorithms.problem import join_rows, make_candidate
from tfmpq.simulation.source import SimulatedLayer
from tfmpq.stages import Measured, Rounded, advance

_ROUNDING = 2.0**-20  # of a row's largest weight: float32 products and TensorFlow's own way to the factor


def take_given(layer: Measured) -> Rounded:
    """A layer with the points that it was given.

    Raises:
        ModelError: The file's weight is not the simulated weight with a factor a row.
        OptionError: A given scale is too small for the layer's bias, or too large for the runtime.
    """
    given = layer.given
    assert given is not None, layer.name
    if isinstance(given, SimulatedLayer):
        weight, notes = points_for_file(layer.layer, given)
    else:
        weight, notes = _checked(layer.layer, given), ()
    _check_ceiling(layer.layer, weight)
    candidates = prefixes(layer.layer, weight, layer.statistics)
    return advance(Rounded, layer, candidates=candidates, given_counts=weight.counts, notes=notes)


def points_for_file(layer: Layer, simulated: SimulatedLayer) -> tuple[MultipointWeight, tuple[str, ...]]:
    """The points of a simulated layer for the file's rows, and what could not be kept of them.

    Raises:
        ModelError: The file's weight is not the simulated weight with a factor a row.
    """
    signs = simulated.sign.astype(np.float64)
    points = simulated.export()
    factors = _fold_factors(layer, points.reconstruct() * signs[:, None])
    notes = []
    turned = (factors * signs < 0) & (simulated.rows != 0).any(axis=1)
    if turned.any():
        points = simulated.export(np.where(turned, -signs, signs))
    if turned.any() and simulated.trained is None:  # trained codes are turned around as they are
        notes.append(
            f"layer '{layer.name}': {turned.sum()} of {layer.channels} rows have the other sign in the file than in "
            "the simulation (a normalization is folded, or not, where the simulation could not know); their points are "
            "chosen for the file's sign."
        )
    weight, lifted = _scaled(points, np.abs(factors), scale_floor(layer))
    if lifted:
        notes.append(
            f"layer '{layer.name}': {lifted} of {layer.channels} rows are so small beside their bias that 8-bit "
            "activations cannot show them; they are rounded on the smallest scale the runtime can hold."
        )
    return weight, tuple(notes)


def prefixes(layer: Layer, weight: MultipointWeight, known: LayerStatistics) -> tuple[Candidate, ...]:
    """The rows with their first 1, 2, ... points, and the output error of each."""
    scales = np.stack([point.scale for point in weight.points])
    last = scales[weight.counts - 1, np.arange(layer.channels)]
    # A row that has fewer points is filled up with points of zeros, on a scale that keeps what merges mergeable.
    scales = np.where(np.arange(len(scales))[:, None] < weight.counts, scales, last)
    rows, moment = layer.grouped(layer.weight), known.second_moment()
    codes = [layer.grouped(point.codes) for point in weight.points]
    shaped = [scale.reshape(rows.shape[:2]) for scale in scales]

    def judged(part: slice) -> list[Candidate]:
        own = rows[:, part].astype(np.float64)
        problem = Problem(own, moment, weight.bits, np.zeros(own.shape[:2]))
        taken = [(c[:, part], s[:, part]) for c, s in zip(codes, shaped, strict=True)]
        used = [taken[:n] for n in range(1, len(taken) + 1)]
        return [make_candidate(problem, [c for c, _ in some], [s for _, s in some]) for some in used]

    return join_rows(map(judged, row_parts(rows.shape[1], layer.groups * layer.columns)), *rows.shape[:2])


def _checked(layer: Layer, weight: MultipointWeight) -> MultipointWeight:
    floor = scale_floor(layer)
    for number, point in enumerate(weight.points):
        small = np.flatnonzero((weight.counts > number) & point.codes.any(axis=1) & (point.scale < floor))
        if len(small):
            row = small[0]
            raise OptionError(
                f"points for layer {layer.name!r}: the scale {point.scale[row]:.3g} of point {number} in row {row} is "
                f"below {floor[row]:.3g}, under which the bias overflows in the runtime's kernels. Drop that point."
            )
    return weight


def _check_ceiling(layer: Layer, weight: MultipointWeight) -> None:
    ceiling = scale_ceiling(layer)
    for number, point in enumerate(weight.points):
        large = np.flatnonzero((weight.counts > number) & (point.scale >= ceiling))
        if len(large):
            row = large[0]
            raise OptionError(
                f"points for layer {layer.name!r}: the scale {point.scale[row]:.3g} of point {number} in row {row} is "
                f"not below {ceiling:.3g}, from where on the runtime refuses the layer: one step of its inputs would "
                "be hundreds of steps of its outputs. Give points of more bits for this layer, or none."
            )


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


def _scaled(points: MultipointWeight, factors: np.ndarray, floor: np.ndarray) -> tuple[MultipointWeight, int]:
    """The points with factors (C,) in their scales, and how many rows the floor has changed."""
    low, high = code_range(points.bits)
    counts = points.counts
    codes = np.stack([p.codes for p in points.points])
    last = np.stack([p.scale for p in points.points])[counts - 1, np.arange(len(counts))]
    smallest = (last * factors).astype(np.float32)
    below = smallest < floor
    zero = (codes == 0).all(axis=(0, 2)) | (factors == 0)
    smallest = np.where(below | zero, floor, smallest).astype(np.float32)
    scales = []
    for i, point in enumerate(points.points):
        # The ratios of radix points are powers of two, which rounding keeps, so that they still merge.
        own = (point.scale * factors).astype(np.float32)
        scales.append(np.where((counts > i) & ~below & ~zero, own, smallest))
    lifted = below & ~zero
    if (lifted | zero).any():
        real = points.reconstruct() * factors[:, None]
        codes[:, lifted | zero] = 0
        codes[0, lifted] = np.clip(np.rint(real[lifted] / floor[lifted, None]), low, high)
    scaled = tuple(Point(c, s) for c, s in zip(codes, scales, strict=True))
    return MultipointWeight(scaled, counts, points.bits), int(lifted.sum())
