"""Masks of attention: huge negative scores are made as small as exp() needs, and no longer set the range of int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from converters.errors import FileFormatError
from converters.rewriting.masks import Mask, find_masks, with_constants
from converters.tflite.graph import Model, Op, Tensor, TensorType
from tfmpq.activations.masks.scores import FLOAT, Scores, measure_scores, softmax, softmaxes
from tfmpq.activations.subject import Case, Mended, Subject
from tfmpq.activations.values.inner_values import Sample, as_rows, inner_values, some_rows
from tfmpq.activations.values.int8_values import rounded
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.text import plural

_LEAST = 40.0  # a mask that is smaller has nothing to give back
_GAIN = 1.5  # at least so much smaller a mask has to become
_SAMPLES = 16
_VALUES = 4096  # of a sample's scores, to say what is gained
_EXACT_DB = 80.0  # what float32 makes of another order of the same sum; exp() of what is masked is far below
_UNMASKED = 1e-6  # what a mask of 0 and 1 may hold in place of 0, of its largest value
_NAMED = 3

Values = Mapping[Mask, np.ndarray]


def mend_masks(subject: Subject, case: Case) -> Subject:
    """Rewrites constants that mask scores, where nothing but softmaxes sees them and float results stay as they are.

    How far down a mask has to be is read from the scores of some samples; that results stay the same is tried on
    others. Masks that are inputs of the model are left to :mod:`tfmpq.activations.masks.inputs`.

    Args:
        subject: the float model so far.
        case: the conversion.
    """
    masks = [mask for mask in find_masks(subject.model.graph, _LEAST) if mask.kind != "input"]
    if not masks:
        return subject
    judge = case.data.judge[:_SAMPLES]
    try:
        scores = _measured(subject.model, masks, islice(case.data.fit(), _SAMPLES))
        values = {m: new for m in masks if (new := _smaller(m, scores)) is not None}
        values, model = _exact(subject.model, values, judge)
        if not values:
            return subject
        done = _report(subject.model, values, case, judge)
    except FileFormatError:  # the model as a whole runs, or later stages say why not
        return subject
    return replace(subject, model=model, measured=None, owners=None, mended=(*subject.mended, done))


def _measured(model: Model, masks: Sequence[Mask], samples: islice[Sample]) -> Scores:
    ways = [way for mask in masks for way in mask.ways]
    return measure_scores(model, ways, [m.scaled for m in masks if m.scaled is not None], samples)


# ---------------------------------------------------------------- what a mask becomes


def _smaller(mask: Mask, scores: Scores) -> np.ndarray | None:
    """The constant with huge elements made smaller; None where little is won, or it is no mask."""
    lowest = min(scores.bound(way, FLOAT) / abs(way.factor) for way in mask.ways)
    if not np.isfinite(lowest) or lowest >= 0:
        return None
    sign = np.sign(mask.ways[0].factor)
    old = mask.tensor.array().astype(np.float64)
    if mask.scaled is None:
        new = sign * np.maximum(sign * old, lowest)
    else:
        new = _factor(mask, scores, sign * lowest, old)
    if new is None or not (np.abs(old) > _GAIN * np.abs(new)).any():
        return None
    return new.astype(np.float32)


def _factor(mask: Mask, scores: Scores, lowest: float, old: np.ndarray) -> np.ndarray | None:
    """A factor of 0 and 1, or 0 and -1, that makes the latter ``lowest``; None: it multiplies something else."""
    if mask.scaled is None:
        return None
    low, high = scores.spans[mask.scaled]
    largest = max(abs(low), abs(high))
    zeros_and_ones = scores.least[mask.scaled] >= (1 - _UNMASKED) * largest > 0
    if not zeros_and_ones or low < 0 < high:
        return None
    one = high if high > 0 else low
    product = float(one / old.ravel()[0] if mask.inverse else one * old.ravel()[0])
    if product / lowest <= 1:
        return None
    return old * (product / lowest) if mask.inverse else old / (product / lowest)


# ---------------------------------------------------------------- whether float stays as it is


def _exact(model: Model, values: Values, judge: Sequence[Sample]) -> tuple[Values, Model]:
    """Of the new values those that change nothing, and the model with them."""
    while values:
        changed = with_constants(model, values)
        wrong = _changed(model, changed, softmaxes(w for m in values for w in m.ways), judge)
        if not wrong:
            return values, changed
        kept = {m: v for m, v in values.items() if not any(way.softmax in wrong for way in m.ways)}
        values = kept if len(kept) < len(values) else {}
    return {}, model


def _changed(model: Model, changed: Model, ends: Sequence[Op], judge: Sequence[Sample]) -> set[Op]:
    """Softmaxes that no longer compute the same; none where the model's outputs are the same all the same."""
    outputs = [t for t in model.graph.outputs if t.type == TensorType.FLOAT32 and t.data is None]
    wanted = list(dict.fromkeys([*(op.outputs[0] for op in ends), *outputs]))
    signal, noise = dict.fromkeys(wanted, 0.0), dict.fromkeys(wanted, 0.0)
    pairs = zip(inner_values(model, wanted, judge), inner_values(changed, wanted, judge), strict=True)
    for before, after in pairs:
        for tensor in wanted:
            old = before[tensor].astype(np.float64)
            signal[tensor] += float((old**2).sum())
            noise[tensor] += float(((after[tensor] - old) ** 2).sum())
    wrong = {t for t in wanted if not sqnr_db(signal[t], noise[t]) >= _EXACT_DB}
    if len(outputs) == len(model.graph.outputs) and wrong.isdisjoint(outputs):
        return set()
    return {op for op in ends if op.outputs[0] in wrong}


# ---------------------------------------------------------------- what is said


def _report(model: Model, values: Values, case: Case, judge: Sequence[Sample]) -> Mended:
    ends = softmaxes(way for mask in values for way in mask.ways)
    before, after = _softmax_db(model, with_constants(model, values), [op.input(0) for op in ends], judge)
    names = [case.layer_names.get(op.outputs[0].name, op.outputs[0].name) for op in ends]
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    old, new = max(
        ((float(np.abs(m.tensor.array()).max()), float(np.abs(v).max())) for m, v in values.items()),
        key=lambda pair: pair[0] / max(pair[1], 1e-30),
    )
    why = (
        f"{plural(len(values), 'mask')} in front of softmax, of {old:.3g} in size, became {new:.3g}: exp() makes "
        "nothing of either, and int8 can tell the other scores apart"
    )
    return Mended("mask", ", ".join(names[:_NAMED]) + more, why, before, after)


def _softmax_db(model: Model, changed: Model, inputs: Sequence[Tensor], judge: Sequence[Sample]) -> tuple[float, float]:
    """Signal to noise of softmaxes whose inputs are int8 of the range of all their values, of both models."""
    old: dict[Tensor, list[np.ndarray]] = {t: [] for t in inputs}
    new: dict[Tensor, list[np.ndarray]] = {t: [] for t in inputs}
    pairs = zip(inner_values(model, inputs, judge), inner_values(changed, inputs, judge), strict=True)
    for before, after in pairs:
        for tensor in inputs:
            rows = as_rows(before[tensor])
            picked = some_rows(rows, _VALUES)
            old[tensor].append(rows[picked].astype(np.float64))
            new[tensor].append(as_rows(after[tensor])[picked].astype(np.float64))
    right = {t: [softmax(rows) for rows in old[t]] for t in inputs}
    signal = sum(float((y**2).sum()) for rows in right.values() for y in rows)
    noises = (sum(_noise(values[t], right[t]) for t in inputs) for values in (old, new))
    first, second = (sqnr_db(signal, noise) for noise in noises)
    return first, second


def _noise(values: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> float:
    span = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    pairs = zip(values, right, strict=True)
    return sum(float(((softmax(rounded(v, *span)) - y) ** 2).sum()) for v, y in pairs)
