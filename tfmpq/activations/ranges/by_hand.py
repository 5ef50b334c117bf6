"""Ranges that rules set by hand: ``Rule("^block_3$", range=(-6.0, 6.0))``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import FileFormatError, RecipeError
from converters.frontend.float_file import graph_order
from converters.printable import shown
from converters.tflite.graph import Graph, Tensor, TensorType
from tfmpq.activations.scale_ties import Ties, ties_of
from tfmpq.activations.subject import Case, Mended, Range, Subject
from tfmpq.activations.values.inner_values import inner_rows
from tfmpq.activations.values.int8_values import rounded
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.recipe.rules import Rule
from tfmpq.suspicion.suspicion import Suspicion

_SAMPLES, _VALUES = 16, 65536  # values of a sample, about


@dataclass(frozen=True, eq=False)
class _Asked:
    """A range asked for.

    Attributes:
        rule: by whom.
        tensor: for what.
        name: what the rule matched.
        span: the range.
    """

    rule: Rule
    tensor: Tensor
    name: str
    span: Range


def set_ranges(subject: Subject, case: Case) -> Subject:
    """Sets the ranges that rules ask for, in place of any other.

    A rule that matches a layer is for what the layer hands on to others, not for what its operators hand to each other;
    those are matched by name of the tensor. Inputs of the model are matched by their names too. TensorFlow gives some
    tensors one scale: what is reshaped, transposed, sliced or pooled has that of what is made of it, and what is
    concatenated, selected or put into a maximum that of the result. A range for one of them is a range for all.

    Args:
        subject: the float model so far.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot quantize the model.
        RecipeError: A range cannot be used: all that the rule matches holds integers or has a fixed scale, no value
            seen lies in the range, or tensors of one scale are to have two ranges.
    """
    rules = [rule for rule in case.recipe.rules if rule.range is not None]
    if not rules:
        return subject
    asked = _asked(subject, case, rules)
    subject, ties = ties_of(subject, case)
    reasons = {entry: _reason(entry, ties, subject.model.graph) for entry in asked if ties.owner(entry.tensor) is None}
    _check_used(asked, reasons)
    usable = {entry: owner for entry in asked if (owner := ties.owner(entry.tensor)) is not None}
    ranges = _of_owners(usable)
    warnings = [
        Suspicion("activations", "range not used", f"Rule {shown(entry.rule.match)}: {reason}; its range is not used.")
        for entry, reason in reasons.items()
    ]
    done = _tried(subject, case, usable)
    return replace(
        subject,
        ranges={**subject.ranges, **ranges},
        mended=(*subject.mended, *done),
        warnings=(*subject.warnings, *warnings),
    )


def owners_by_hand(subject: Subject, case: Case) -> frozenset[str]:
    """Names of the tensors whose ranges rules will set: those that make the scales of what the rules match.

    Args:
        subject: the float model so far.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot quantize the model.
        RecipeError: A rule matches nothing.
    """
    rules = [rule for rule in case.recipe.rules if rule.range is not None]
    if not rules:
        return frozenset()
    _, ties = ties_of(subject, case)
    owners = (ties.owner(entry.tensor) for entry in _asked(subject, case, rules))
    return frozenset(owner for owner in owners if owner is not None)


# ---------------------------------------------------------------- what rules match


def _asked(subject: Subject, case: Case, rules: Sequence[Rule]) -> list[_Asked]:
    """Of each tensor that rules match, what the last of them asks."""
    found: dict[Tensor, _Asked] = {}
    named = [*_inputs(subject, case), *_written(subject, case)]
    for rule in rules:
        matched = False
        for tensor, layers, handed_on in named:
            layer = next((name for name in layers if rule.matches(name)), None)
            if handed_on if layer is not None else rule.matches(tensor.name):
                found[tensor] = _Asked(rule, tensor, layer or tensor.name, _span(rule))
                matched = True
        if not matched:
            raise RecipeError(
                f"rule {shown(rule.match)} sets a range, and matches no layer, input or tensor of the float model. "
                "Names are those of the report and of `tfmpq inspect`."
            )
    return list(found.values())


def _span(rule: Rule) -> Range:
    low, high = rule.range or (0.0, 0.0)
    return float(low), float(high)


def _inputs(subject: Subject, case: Case) -> Iterator[tuple[Tensor, Sequence[str], bool]]:
    names = graph_order(subject.model, case.float_model.source)
    yield from ((tensor, [name], True) for tensor, name in zip(subject.model.graph.inputs, names, strict=True))


def _written(subject: Subject, case: Case) -> Iterator[tuple[Tensor, Sequence[str], bool]]:
    """What operators write, names of the layer, and whether others than the layer itself read it."""
    graph = subject.model.graph
    readers = graph.consumers()
    layers = {op: {case.layer_names.get(t.name) for t in op.outputs} for op in graph.ops}
    for op in graph.ops:
        for tensor in op.outputs:
            others = any(layers[reader] != layers[op] for reader in readers.get(tensor, ()))
            yield tensor, case.rule_names.get(tensor.name, ()), others or tensor in graph.outputs


# ---------------------------------------------------------------- whether ranges can be used


def _reason(entry: _Asked, ties: Ties, graph: Graph) -> str:
    """Why no range makes a tensor's scale."""
    if entry.tensor.type != TensorType.FLOAT32:
        return f"{_called(entry)} holds integers or truths, which have no range"
    made = graph.producers().get(entry.tensor)
    if made is None or not any(ties.owner(t) for t in made.inputs if t is not None):
        return f"{_called(entry)} is computed in float, or has a fixed range"
    return f"{made.name}, which writes {_called(entry)}, has a fixed range; set that of what it reads, by its name"


def _called(entry: _Asked) -> str:
    return shown(entry.name) if entry.name == entry.tensor.name else f"{shown(entry.name)} ({entry.tensor.name})"


def _check_used(asked: Sequence[_Asked], reasons: Mapping[_Asked, str]) -> None:
    for rule in dict.fromkeys(entry.rule for entry in asked):
        entries = [entry for entry in asked if entry.rule is rule]
        if all(entry in reasons for entry in entries):
            raise RecipeError(f"rule {shown(rule.match)}: its range cannot be used: {reasons[entries[0]]}.")


def _of_owners(usable: Mapping[_Asked, str]) -> dict[str, Range]:
    chosen: dict[str, _Asked] = {}
    for entry, owner in usable.items():
        other = chosen.setdefault(owner, entry)
        if other.span != entry.span:
            raise RecipeError(
                f"rules {shown(other.rule.match)} and {shown(entry.rule.match)} set ranges {other.span} and "
                f"{entry.span} for {_called(other)} and {_called(entry)}, which have one scale in int8, as all have "
                "that are reshaped from or joined to one another. Give both the same range."
            )
    return {owner: entry.span for owner, entry in chosen.items()}


# ---------------------------------------------------------------- what ranges do


def _tried(subject: Subject, case: Case, usable: Mapping[_Asked, str]) -> list[Mended]:
    """What each range does to the values, on samples that nothing was fitted to."""
    tensors = list(dict.fromkeys(entry.tensor for entry in usable))
    try:
        rows = inner_rows(subject.model, tensors, case.data.judge[:_SAMPLES], _VALUES)
    except FileFormatError:  # the model as a whole runs, or later stages say why not
        return []
    return [_mended(entry, owner, rows[entry.tensor]) for entry, owner in usable.items()]


def _mended(entry: _Asked, owner: str, runs: Sequence[np.ndarray]) -> Mended:
    values = np.concatenate([run.ravel() for run in runs])
    if not values.size:
        return Mended("range", entry.name, f"{entry.span} set by a rule")
    low, high = min(entry.span[0], 0.0), max(entry.span[1], 0.0)
    clipped = float(((values < low) | (values > high)).mean())
    if not ((values >= entry.span[0]) & (values <= entry.span[1])).any():
        raise RecipeError(
            f"rule {shown(entry.rule.match)}: range {entry.span} holds no value of {_called(entry)}: on "
            f"{len(runs)} samples they lie from {values.min():.4g} to {values.max():.4g}."
        )
    shared = "" if owner == entry.tensor.name else f", with all that has the scale of {owner}"
    why = f"{entry.span} set by a rule{shared}: {clipped:.2%} of the values are clipped"
    signal = float((values**2).sum())
    db = [
        sqnr_db(signal, float(((rounded(values, *span) - values) ** 2).sum()))
        for span in ((values.min(), values.max()), entry.span)
    ]
    return Mended("range", entry.name, why, *db)
