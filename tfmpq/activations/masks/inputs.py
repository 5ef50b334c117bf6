"""Masks that are inputs of the model and are added to scores: int8 clips them to what exp() needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from converters.errors import FileFormatError
from converters.rewriting.masks import Way, softmax_ways
from converters.tflite.graph import Graph, Tensor, TensorType
from tfmpq.activations.masks.scores import INT8, Scores, measure_scores, softmax, softmaxes
from tfmpq.activations.scale_ties import ties_of
from tfmpq.activations.subject import Case, Mended, Range, Subject
from tfmpq.activations.values.inner_values import inner_rows
from tfmpq.activations.values.int8_values import rounded
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.suspicion.suspicion import Suspicion

_GAIN = 1.5  # at least so much narrower a range has to become
_SAMPLES = 16
_VALUES = 4096  # of a sample's scores, to decide by


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
    masks = [case.called(t.name) for t in given if t in spans]
    lowest = min(min(spans[t][0], -spans[t][1]) for t in given if t in spans)
    why = (
        f"exp() makes nothing of what values beyond {lowest:.3g} mask in front of softmax: the range of the input ends "
        "there, and int8 can tell the other scores apart"
    )
    done = Mended("mask", ", ".join(masks), why, before, after)
    warnings = () if case.options.io_dtype == "float32" else [_to_be_clipped(masks, lowest)]
    return replace(
        subject,
        ranges={**subject.ranges, **owned},
        mended=(*subject.mended, done),
        warnings=(*subject.warnings, *warnings),
    )


def _to_be_clipped(masks: Sequence[str], lowest: float) -> Suspicion:
    return Suspicion(
        "activations",
        "clipped input",
        f"Input {', '.join(map(repr, masks))} masks scores in front of softmax. Its int8 range ends at {lowest:.3g}, "
        "so that the other scores can be told apart: where the program that runs the file makes integers of it, clip "
        'them to the type (np.clip). With io_dtype="float32" the file does it by itself.',
    )


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
    runs = inner_rows(subject.model, inputs, case.data.judge[:_SAMPLES], _VALUES)
    signal, before, after = 0.0, 0.0, 0.0
    for tensor, rows in runs.items():
        whole = min(float(v.min()) for v in rows), max(float(v.max()) for v in rows)
        for value in rows:
            right = softmax(value)
            signal += float((right**2).sum())
            before += float(((softmax(rounded(value, *whole)) - right) ** 2).sum())
            after += float(((softmax(rounded(value, *spans.get(tensor, whole))) - right) ** 2).sum())
    return sqnr_db(signal, before), sqnr_db(signal, after)
