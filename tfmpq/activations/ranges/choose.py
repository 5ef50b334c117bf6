"""What int8 activations cover: less than the data reach, where finer steps are worth more than rare values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import log10

from converters.errors import FileFormatError
from converters.tflite.graph import Graph
from tfmpq.activations.base import base_of, runs, with_owners
from tfmpq.activations.output_noise import Gain, gain_of, noises, read_outputs
from tfmpq.activations.ranges.histograms import Feed, Scaled, histograms
from tfmpq.activations.ranges.search import Histogram, best_range, error_of
from tfmpq.activations.subject import Case, Mended, Range, Subject
from tfmpq.text import plural

_FIT, _JUDGE = 16, 32  # most samples to choose by, and to decide on
# Clipping errors are predicted as if they were as independent as rounding errors. They are not: where that brings the
# outputs nothing, ranges are tried that pretend they were 8 times as large.
_CAUTIONS = (1.0, 8.0)
_LEAST = 0.95  # of the predicted error has to be left at most, on either set of samples
_STANDARD_ERRORS = 1.0  # that the gain at the outputs has to be above zero
_COMPARING = {"SOFTMAX", "LOG_SOFTMAX", "ARG_MAX", "TOPK_V2"}
_NAMED = 5  # tensors that are listed one by one
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class _Found:
    """Ranges by one degree of caution, and what they are predicted to bring."""

    ranges: Mapping[str, Range]
    errors: Mapping[str, tuple[float, float]]  # on samples to decide on, before and after


def choose_ranges(subject: Subject, case: Case) -> Subject:
    """Narrows ranges of inner activations where that lowers the error of what is computed from them.

    Of each tensor with a scale of its own the range with the least squared error is searched, weighed by the columns of
    the layers that read it. It is kept where held-back samples agree; all of them are kept only if the int8 file's
    outputs are closer to float with them on held-back samples. Inputs and outputs of the model stay as they are, and so
    do ranges that are set already.

    Args:
        subject: the float model as it will be quantized.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot quantize the model.
    """
    if case.options.ranges == "minmax":
        return subject
    subject = with_owners(subject, case)
    scaled = _scaled(subject)
    fit, judge = _samples(case)
    if not scaled.ranges or not judge:
        return subject
    try:
        sets = histograms(scaled, fit, judge)
        reference = read_outputs(subject.model, judge)
    except FileFormatError:  # later stages say why the runtime refuses the model, or do without what it refuses
        return subject
    if not reference.values:
        return subject
    base = base_of(subject, case)
    if not runs(base.content, case):
        return subject
    before = noises(reference, read_outputs(base.model, judge))
    for caution in _CAUTIONS:
        found = _search(scaled, sets, caution)
        if not found.ranges:
            continue
        changed = replace(subject, ranges={**subject.ranges, **found.ranges})
        trial = base_of(changed, case)
        if not runs(trial.content, case):
            continue
        gain = gain_of(before, noises(reference, read_outputs(trial.model, judge)))
        if gain.mean > _STANDARD_ERRORS * gain.standard_error:
            return replace(changed, mended=(*subject.mended, *_mended(found, gain, scaled, case)))
    return subject


def _samples(case: Case) -> tuple[Sequence[Feed], Sequence[Feed]]:
    """Samples to choose by and to decide on, never the same ones; where none are held back, every other."""
    if case.data.fitted:
        few = list(case.data.judge)
        return few[::2][:_FIT], few[1::2][:_JUDGE]
    # From all over the data: those in front may be of one class.
    every = max(1, -(-case.data.fit.count // _FIT))
    return list(islice(case.data.fit(), 0, None, every)), list(case.data.judge[:_JUDGE])


def _scaled(subject: Subject) -> Scaled:
    """The scales that are to be chosen."""
    assert subject.measured is not None
    assert subject.owners is not None
    owners = subject.owners
    fixed = _fixed(subject.model.graph, owners, {*subject.ranges, *subject.float_tail, *subject.tail_operands})
    widened = {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in subject.measured.items()}
    ranges = {name: widened[name] for name in sorted(set(owners.values()) - fixed) if widened[name] != (0.0, 0.0)}
    return Scaled(subject.model, owners, ranges)


def _fixed(graph: Graph, owners: Mapping[str, str], given: Collection[str]) -> set[str]:
    """Owners of scales that are not looked at.

    Inputs and outputs have scales that users know. Of scores the largest, which are rare, count.
    """
    scores = (tensor for op in graph.ops if op.name in _COMPARING for tensor in op.inputs[:1])
    ends = (tensor.name for tensor in (*graph.inputs, *graph.outputs, *scores) if tensor is not None)
    return {owners.get(name, name) for name in (*ends, *given)}


def _search(scaled: Scaled, sets: Sequence[Mapping[str, Histogram]], caution: float) -> _Found:
    ranges: dict[str, Range] = {}
    errors: dict[str, tuple[float, float]] = {}
    for name, widest in scaled.ranges.items():
        chosen = best_range(sets[0][name], *widest, caution=caution)
        pairs = [[error_of(h[name], *r, caution=caution) for r in (widest, chosen)] for h in sets]
        if all(after < _LEAST * before for before, after in pairs):
            ranges[name] = chosen
            errors[name] = (pairs[1][0], pairs[1][1])
    return _Found(ranges, errors)


def _mended(found: _Found, gain: Gain, scaled: Scaled, case: Case) -> list[Mended]:
    """One entry for all ranges, with what they bring at the outputs, and those of the tensors that gain most."""
    shares = [
        (high - low) / (scaled.ranges[name][1] - scaled.ranges[name][0]) for name, (low, high) in found.ranges.items()
    ]
    order = sorted(found.errors, key=lambda name: found.errors[name][1] / max(found.errors[name][0], _TINY))
    whole = Mended(
        "range",
        plural(len(shares), "tensor"),
        f"cover {min(shares):.0%} to {max(shares):.0%} of what the data reach; rarer values are clipped",
        gain.before,
        gain.before + gain.mean,
    )
    return [whole, *(_entry(name, found, scaled.ranges[name], case) for name in order[:_NAMED])]


def _entry(name: str, found: _Found, widest: Range, case: Case) -> Mended:
    before, after = (-10 * log10(max(error, _TINY)) for error in found.errors[name])
    where = case.layer_names.get(name, name)
    return Mended("range", where, f"covers {_span(found.ranges[name])} of {_span(widest)}", before, after)


def _span(ends: Range) -> str:
    return f"{ends[0]:.3g} .. {ends[1]:.3g}"
