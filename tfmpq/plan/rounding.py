"""From measured layers to rounded ones: every layer's rows with 1, 2, ... points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from converters.lowering.quantized_layer import scale_floor
from converters.lowering.split import lowest_int4_code
from converters.points import code_range, row_parts
from converters.runtime.memory import release_memory
from tfmpq.algorithms import ALGORITHMS, Candidate, Evidence, Problem
from tfmpq.algorithms.problem import join_rows
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
        release_memory()  # layers differ in size: what one has freed does not fit the next
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
    moment = known.covariance if algorithm.corrects_bias else known.second_moment()
    if known.rows is not None:  # a table's columns weigh alike: there is nothing to feed an error back to
        moment = np.ones((1, layer.layer.columns))
    weight, groups = layer.layer.grouped(layer.layer.weight), layer.layer.groups
    floor, rows = scale_floor(layer.layer).reshape(groups, -1), weight.shape[1]
    shared: dict[str, Any] = {}
    lowest = lowest_int4_code(layer.layer) <= code_range(settings.bits)[0]

    def rounded(part: slice) -> Sequence[Candidate]:
        numbers = weight[:, part].astype(np.float64)
        problem = Problem(numbers, moment, settings.bits, floor[:, part], evidence, shared, lowest)
        return algorithm.quantize(problem, settings.max_points)

    parts = row_parts(rows, groups * layer.layer.columns) if algorithm.by_rows else [slice(0, rows)]
    with serial_blas():
        candidates = join_rows(map(rounded, parts), groups, rows) if len(parts) > 1 else tuple(rounded(parts[0]))
    return advance(Rounded, layer, candidates=candidates, given_counts=None, notes=())
