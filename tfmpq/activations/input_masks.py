"""Masks that are inputs of the model and are added to scores: int8 clips them to what exp() needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from converters.errors import FileFormatError
from converters.rewriting.masks import Way, softmax_ways
from converters.tflite.graph import Graph, Tensor, TensorType
from tfmpq.activations.inner_values import inner_values
from tfmpq.activations.int8_values import noise_db, rounded
from tfmpq.activations.scale_ties import ties_of
from tfmpq.activations.scores import INT8, Scores, measure_scores, softmax, softmaxes
from tfmpq.activations.subject import Case, Mended, Range, Subject

_GAIN = 1.5  # at least so much narrower a range has to become
_SAMPLES = 16


def mend_input_masks(subject: Subject, case: Case) -> Subject:
    """Narrows the ranges of float inputs that only mask scores, and of what is made of them on the way to the softmax.

    The float model stays as it is. In int8 the caller's values are clipped, as all are that lie beyond a range.

    Args:
        subject: the float model so far.
        case: the conversion.
    """
    graph = subject.model.graph
    ways = softmax_ways(graph)
    given = [t for t in graph.inputs if ways.get(t) and t.type == TensorType.FLOAT32]
    if not given:
        return subject
    behind = _behind(graph, given, ways)
    ends = [way for tensor in given for way in ways[tensor]]
    try:
        every = [way for tensor in behind for way in ways[tensor]]
        scores = measure_scores(subject.model, [*ends, *every], behind, islice(case.data.fit(), _SAMPLES))
        spans = {t: span for t in behind if (span := _span(ways[t], scores, scores.span(t))) is not None}
        if spans.keys().isdisjoint(given):
            return subject
        before, after = _softmax_db(subject, case, [op.input(0) for op in softmaxes(ends)], spans)
    except FileFormatError:  # the model as a whole runs, or later stages say why not
        return subject
    if not after > before:
        return subject
    subject, ties = ties_of(subject, case)
    owned = {t.name: span for t, span in spans.items() if ties.owner(t) == t.name and t.name not in subject.ranges}
    masks = [t for t in given if t in spans]
    lowest = min(min(spans[t][0] for t in masks), -max(spans[t][1] for t in masks))
    why = (
        f"values beyond {lowest:.3g} mask scores in front of softmax, as exp() makes nothing of them: the range of the "
        f"input ends there, and int8 can tell the other scores apart"
    )
    done = Mended("mask", ", ".join(t.name for t in masks), why, before, after)
    return replace(subject, ranges={**subject.ranges, **owned}, mended=(*subject.mended, done))


def _behind(graph: Graph, given: Sequence[Tensor], ways: Mapping[Tensor, Sequence[Way]]) -> list[Tensor]:
    """The inputs and all that is made of them on the way to a softmax."""
    found = dict.fromkeys(given)
    for op in graph.ops:
        if any(t in found for t in op.inputs if t is not None):
            found.update(dict.fromkeys(t for t in op.outputs if ways.get(t)))
    return list(found)


def _span(ways: Sequence[Way], scores: Scores, whole: Range) -> Range | None:
    """What a tensor's range may be narrowed to; None: not much narrower than it is."""
    factors = np.array([way.factor for way in ways])
    if not (factors > 0).all() and not (factors < 0).all():
        return None
    bound = float(min(scores.bound(way, INT8) / abs(way.factor) for way in ways))
    low, high = whole
    span = (max(low, bound), high) if factors[0] > 0 else (low, min(high, -bound))
    if not np.isfinite(bound) or span[0] >= span[1]:
        return None
    return span if _width(whole) > _GAIN * _width(span) else None


def _width(span: Range) -> float:
    return max(span[1], 0.0) - min(span[0], 0.0)


def _softmax_db(
    subject: Subject, case: Case, inputs: Sequence[Tensor], spans: Mapping[Tensor, Range]
) -> tuple[float, float]:
    """Signal to noise of softmaxes whose inputs are int8, of the range of all values and of the narrowed one."""
    runs = list(inner_values(subject.model, inputs, case.data.judge[:_SAMPLES]))
    signal, before, after = 0.0, 0.0, 0.0
    for tensor in inputs:
        values = [run[tensor].astype(np.float64) for run in runs]
        whole = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
        for value in values:
            right = softmax(value)
            signal += float((right**2).sum())
            before += float(((softmax(rounded(value, *whole)) - right) ** 2).sum())
            after += float(((softmax(rounded(value, *spans.get(tensor, whole))) - right) ** 2).sum())
    return noise_db(signal, before), noise_db(signal, after)
