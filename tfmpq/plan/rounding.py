"""From measured layers to rounded ones: every layer's rows with 1, 2, ... points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.lowering.quantized_layer import scale_floor
from tfmpq.algorithms import ALGORITHMS, Evidence, Problem
from tfmpq.plan.given_points import take_given
from tfmpq.progress import Progress
from tfmpq.stages import Measured, Rounded, advance
from tfmpq.threads import serial_blas


def round_layers(layers: Sequence[Measured], evidence: Mapping[str, Evidence], progress: Progress) -> list[Rounded]:
    """Chooses candidates with 1..max_points points for every layer, or takes the points that are given.

    Args:
        layers: to be rounded.
        evidence: what their algorithms asked for beyond input moments, by layer name.
        progress: shown while points are chosen.
    """
    given = [layer for layer in layers if layer.given is not None]
    chosen = {layer.name: take_given(layer) for layer in given}
    free = [layer for layer in layers if layer.given is None]
    for layer in progress(free, len(free), "points"):
        chosen[layer.name] = round_layer(layer, evidence.get(layer.name, Evidence()))
    return [chosen[layer.name] for layer in layers]


def first_round(layers: Sequence[Measured]) -> list[Rounded]:
    """One point in every row by the default algorithm: the quantized network that other algorithms may look at."""
    result = []
    for layer in layers:
        settings = replace(layer.settings, algorithm="radix", max_points=1)
        result.append(take_given(layer) if layer.given else round_layer(replace(layer, settings=settings), Evidence()))
    return result


def round_layer(layer: Measured, evidence: Evidence) -> Rounded:
    """One layer by the algorithm of its settings."""
    settings, known = layer.settings, layer.statistics
    algorithm = ALGORITHMS[settings.algorithm]
    problem = Problem(
        layer.layer.grouped(layer.layer.weight.astype(np.float64)),
        known.covariance if algorithm.corrects_bias else known.second_moment(),
        settings.bits,
        scale_floor(layer.layer).reshape(layer.layer.groups, -1),
        evidence,
    )
    with serial_blas():
        candidates = tuple(algorithm.quantize(problem, settings.max_points))
    return advance(Rounded, layer, candidates=candidates, given_counts=None, notes=())
