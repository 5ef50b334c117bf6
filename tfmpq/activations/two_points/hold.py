"""Activations held as two tensors of int8, for what one scale cannot hold: where rules ask for it, or where it pays.

A few values far beyond all others make the steps of a tensor so large that the others drown. Where neither scales of
channels nor a smaller range can help, two tensors do, at the price of a second run of the layers that read them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import numpy as np

from converters.errors import FileFormatError, RecipeError
from converters.layers.kinds import kind_of
from converters.printable import shown
from converters.rewriting.two_points import Range, holdable, readers_of
from tfmpq.activations.base import base_of, runs
from tfmpq.activations.output_noise import gain_of, noises, read_outputs
from tfmpq.activations.subject import Case, Subject
from tfmpq.activations.two_points.held import Held, added_time, units, with_held
from tfmpq.activations.two_points.narrow_range import (
    as_one,
    best_clipped,
    best_narrow,
    best_scaled,
    decibels,
    mean_square,
    spread,
)
from tfmpq.activations.values.excerpts import read_ranges, read_values
from tfmpq.options import STOCK_SPEED

_SAMPLES = 8  # that ranges are chosen on
_POOR = 25.0  # dB, spread of most values to noise, of a tensor that is looked at without being asked to
_WORTH = 6.0  # dB, what two points must gain on one, on channels' own scales and on a smaller range
_NAMED = 3
_GAIN = 0.5  # dB of the outputs, on samples nothing was fitted to; and so many standard errors
_STANDARD_ERRORS = 2.0
_JUDGED = 32  # samples
# Operators that channels' scales pass through, besides layers.
_SCALED = frozenset(["ADD", "LEAKY_RELU", "PRELU", "MEAN"])


def hold_two_points(subject: Subject, case: Case) -> Subject:
    """Holds activations as two tensors: those that rules name, and others where it pays within the limit of latency.

    Args:
        subject: the float model so far.
        case: the conversion.

    Raises:
        RecipeError: A rule asks for two points where there can be none.
    """
    reasons = _reasons(subject, case)
    wishes = _wishes(subject, case)
    wanted = [name for name, wish in wishes.items() if wish == "two points"]
    asked = [name for name in wanted if reasons[name] is None]
    free = sorted(name for name, reason in reasons.items() if reason is None and wishes[name] is None)
    free = [name for name in free if name not in subject.ranges]
    if not wanted and not free:
        return subject
    try:
        values = read_values(subject.model, [*asked, *free], islice(case.data.fit(), _SAMPLES))
    except FileFormatError:  # the whole file runs, or later stages say why not
        if asked:
            raise
        return subject
    drowned = [name for name in free if _drowns(name, values[name], subject, case)]
    drowned += _further_sums(drowned, free, values, subject, case)
    if not wanted and not drowned:
        return subject
    wholes = _wholes([*asked, *drowned], subject, case)
    finest = {name: case.finest_step(name) for name in wholes}
    held = units(subject.model, asked, values, wholes, finest)
    _check_rules(wanted, held, reasons, case)
    if held:
        subject = with_held(subject, case, held)
    return _where_it_pays(subject, case, units(subject.model, drowned, values, wholes, finest))


# ---------------------------------------------------------------- what may be, and what is asked for


def _reasons(subject: Subject, case: Case) -> dict[str, str | None]:
    """Why an activation cannot be held as two; None if it can."""
    found = holdable(subject.model)
    if case.options.io_dtype != "float32":  # the second tensor would be made of the integers of the first
        given = f"it arrives as {case.options.io_dtype}, and has no more to tell; io_dtype='float32' would"
        found.update({t.name: given for t in subject.model.graph.inputs})
    return found


def _wishes(subject: Subject, case: Case) -> dict[str, str | None]:
    """Tensor name -> what the recipe says of how it is held."""
    graph = subject.model.graph
    found = {t.name: case.settings(op).activations for op in graph.ops for t in op.outputs}
    return {**{t.name: case.input_settings(t).activations for t in graph.inputs}, **found}


def _check_rules(wanted: Collection[str], held: Sequence[Held], reasons: Mapping[str, str | None], case: Case) -> None:
    """Refuses rules of which nothing can be kept."""
    done = {name for one in held for name in (one.name, *one.carried)}
    for rule in case.recipe.rules:
        if rule.activations != "two points":
            continue
        names = [n for n in wanted if any(map(rule.matches, (n, case.called(n), *case.rule_names.get(n, ()))))]
        if names and done.isdisjoint(names):
            alone = (
                "only sums read it that are not held as two themselves (name them too), or no smaller steps can be had"
            )
            why = "; ".join(f"'{case.called(name)}': {reasons[name] or alone}" for name in names[:_NAMED])
            raise RecipeError(
                f"rule {shown(rule.match)}: activations='two points' cannot be had ({why}). Name the layer whose "
                "output is the trouble, or drop the rule."
            )


# ---------------------------------------------------------------- what it is worth


def _drowns(name: str, values: np.ndarray, subject: Subject, case: Case) -> bool:
    """Whether an activation loses much in one tensor, which two would mend and nothing cheaper can."""
    whole = case.stock_range(name)
    if whole is None or not np.isfinite(values).all():  # later stages say what is wrong
        return False
    noise = mean_square(values - as_one(values, whole))
    if decibels(spread(values), noise) >= _POOR:
        return False
    others = [noise, best_clipped(values, whole)]
    writer = next((op for op in subject.model.graph.ops if any(t.name == name for t in op.outputs)), None)
    scaled = writer is not None and (kind_of(writer) is not None or writer.name in _SCALED)
    if scaled and writer is not None and case.settings(writer).equalize != "off":
        others.append(best_scaled(values))
    return decibels(min(others), best_narrow(values, whole).noise) >= _WORTH


def _further_sums(
    drowned: Sequence[str], free: Collection[str], values: Mapping[str, np.ndarray], subject: Subject, case: Case
) -> list[str]:
    """Sums that drowned activations are part of, and that hold as much again as two."""
    found, waiting = list[str](), list(drowned)
    while waiting:
        for name in sorted(readers_of(subject.model, waiting.pop()).held):
            whole = case.stock_range(name)
            if whole is None or name not in free or name in (*drowned, *found):
                continue
            own = values[name]
            noise = mean_square(own - as_one(own, whole))
            if decibels(noise, best_narrow(own, whole).noise) >= _WORTH:
                found.append(name)
                waiting.append(name)
    return found


def _wholes(names: Collection[str], subject: Subject, case: Case) -> dict[str, Range]:
    """The ranges that int8 has to cover of activations."""
    measured = [name for name in names if name not in subject.ranges]
    found = {name: subject.ranges[name] for name in names if name in subject.ranges}
    return {**found, **read_ranges(subject.model, measured, case.data.whole.originals)}


def _where_it_pays(subject: Subject, case: Case, found: Collection[Held]) -> Subject:
    """All units that fit into the limit of latency together, if the outputs gain."""
    limit = STOCK_SPEED if case.options.max_latency_ratio is None else case.options.max_latency_ratio
    ratio, chosen = 1.0, []
    for held in found:
        added = added_time(subject, held, case)
        if ratio + added <= limit:
            ratio += added
            chosen.append(held)
    if not chosen:
        return subject
    tried = with_held(subject, case, chosen)
    samples = case.data.judge[:_JUDGED]
    reference = read_outputs(case.model, samples)
    files = [base_of(s, case) for s in (subject, tried)]
    if not all(runs(file.content, case) for file in files):
        return subject
    gain = gain_of(*(noises(reference, read_outputs(file.model, samples)) for file in files))
    return tried if gain.mean >= max(_GAIN, _STANDARD_ERRORS * gain.standard_error) else subject
