"""Activations that are to be held as two tensors of int8: with what ranges, and which sums along with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.rewriting.two_points import Range, TwoPoints, readers_of, step_of, two_points
from converters.targets import predict
from converters.tflite.graph import Model
from tfmpq.activations.subject import Case, Mended, Subject
from tfmpq.activations.two_points.narrow_range import as_one, as_two, best_narrow, decibels, mean_square
from tfmpq.activations.two_points.predicted import int8_time
from tfmpq.activations.values.excerpts import read_ranges, read_values

_MEASURED = 16  # samples that the result is told on
_SAME = 3.0  # dB, what a sum may lose by having no clip of its own


@dataclass(frozen=True, eq=False)
class Held:
    """An activation that is to be held as two.

    Attributes:
        name: of its tensor.
        whole: range of all of it.
        narrow: that of the tensor of small steps.
        sums: sums that read both -> whether they are held as two with it.
    """

    name: str
    whole: Range
    narrow: Range
    sums: Mapping[str, bool] = field(default_factory=dict)

    @property
    def carried(self) -> list[str]:
        """The sums that are held as two with it."""
        return [name for name, carried in self.sums.items() if carried]

    def within(self, model: Model) -> TwoPoints:
        """The model with it."""
        return two_points(model, self.name, self.whole, self.narrow, sums=self.sums)


def units(
    model: Model,
    names: Collection[str],
    values: Mapping[str, np.ndarray],
    wholes: Mapping[str, Range],
    finest: Mapping[str, float] | None = None,
) -> list[Held]:
    """The activations with their ranges, in graph order, and the sums among them that are best carried along.

    Left out are those that nothing would read as two, and those that are 0 everywhere.

    Args:
        model: float.
        names: of the activations.
        values: some of their values, as of :func:`tfmpq.activations.values.excerpts.read_values`.
        wholes: their ranges.
        finest: the smallest steps that kernels can give them, where they are known.
    """
    order = [t.name for t in (*model.graph.inputs, *(t for op in model.graph.ops for t in op.outputs))]
    result, done, used = [], set[str](), set[str]()
    for name in (n for n in order if n in names):
        if name in done or not step_of(wholes[name]):
            continue
        narrow = best_narrow(values[name], wholes[name], (finest or {}).get(name, 0.0)).range
        if step_of(narrow) >= step_of(wholes[name]):
            continue
        found = Held(name, wholes[name], narrow)
        found = _with_sums(found, model, names, values, wholes, used)  # a sum goes with one of its parts
        if found.carried or readers_of(model, name).layers:
            result.append(found)
            done.update(found.carried)
            used.update(found.sums)
    return result


def _with_sums(
    root: Held,
    model: Model,
    names: Collection[str],
    values: Mapping[str, np.ndarray],
    wholes: Mapping[str, Range],
    used: Collection[str],
) -> Held:
    """With the sums whose part of small steps, without a clip of its own, is held about as well as with one."""
    own = values[root.name]
    rest = own - np.clip(own, *root.narrow)
    waiting, sums = [root.name], dict[str, bool]()
    while waiting:
        readers = readers_of(model, waiting.pop())
        for name in readers.sums:
            if name in sums or name in used or name not in values:
                continue
            found = values[name]
            if found.shape != rest.shape:
                continue
            if _small(found, rest, wholes.get(name), ended=name not in readers.held):
                sums[name] = name in names and name in readers.held
                waiting += [name] if sums[name] else []
    return replace(root, sums=sums)


def _small(values: np.ndarray, rest: np.ndarray, whole: Range | None, *, ended: bool) -> bool:
    """Whether a sum without the rest is held about as well as with a clip of its own.

    Args:
        values: of the sum.
        rest: part of it that a tensor of large steps holds.
        whole: range of the sum; None: that of the values.
        ended: by an activation function; what that cuts off does not count.
    """
    low, high = _span(values)
    passed = (values > low) & (values < high) if ended else np.ones_like(values, bool)
    if not passed.any():
        return False
    fine = (values - rest)[passed]
    noise = mean_square(fine - as_one(fine, _span(fine)))
    return decibels(noise, best_narrow(values[passed], whole or (low, high)).noise) < _SAME


def _span(values: np.ndarray) -> Range:
    return float(values.min()), float(values.max())


def added_time(subject: Subject, held: Held, case: Case) -> float:
    """Predicted time of holding it as two, as a share of stock's."""
    found = held.within(subject.model)
    added = int8_time(found.model, case.target, but=found.idle) - int8_time(subject.model, case.target)
    return added / predict(case.stock.graph, case.target)


def with_held(subject: Subject, case: Case, chosen: Sequence[Held]) -> Subject:
    """The subject with activations held as two.

    Args:
        subject: the float model so far.
        case: the conversion.
        chosen: the activations, in graph order.
    """
    partial: list[str] = []
    for held in chosen:
        cost = f"predicted {added_time(subject, held, case):+.1%} of stock's time"
        mended = [_entry(held, held.name, subject, case, cost)]
        with_it = f"as a sum with {case.called(held.name)!r}"
        mended += [_entry(held, name, subject, case, with_it) for name in held.carried]
        found = held.within(subject.model)
        partial += found.partial
        ranges = {**subject.ranges, **found.ranges}
        mended = (*subject.mended, *mended)
        subject = replace(subject, model=found.model, ranges=ranges, mended=mended, measured=None, owners=None)
    measured = read_ranges(subject.model, partial, case.data.whole.originals)
    usable = {name: span for name, span in measured.items() if span[0] < span[1]}
    return replace(subject, ranges={**subject.ranges, **usable})


def _entry(held: Held, name: str, subject: Subject, case: Case, cost: str) -> Mended:
    known = read_values(subject.model, [held.name, name], case.data.judge[:_MEASURED])
    values, root = known[name], known[held.name]
    whole = case.stock_range(name) or held.whole
    before = values - as_one(values, whole)
    if name == held.name:
        after, step = values - as_two(values, held.whole, held.narrow), step_of(held.narrow)
    else:
        rest = as_two(root, held.whole, held.narrow) - as_one(root, held.narrow)
        fine = values - (root - np.clip(root, *held.narrow))
        span = _span(fine)
        after, step = values - as_one(fine, span) - rest, step_of(span)
    signal = float(values.var())
    why = (
        f"two int8 tensors, of steps {step:.2g} and {step_of(held.whole):.2g} in place of {step_of(whole):.2g}; {cost}"
    )
    return Mended("two points", case.called(name), why, *(decibels(signal, mean_square(e)) for e in (before, after)))
