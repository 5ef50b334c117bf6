"""Ranges of activations that training has learned: what layers read, in steps of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.layers.kinds import kind_of
from converters.layers.op_layers import last_tensors
from converters.tflite.graph import Op, Tensor
from tfmpq.activations.scale_ties import Ties, ties_of
from tfmpq.activations.subject import MIXING, Case, Mended, Range, Subject
from tfmpq.text import plural

Spans = tuple[Range, ...]  # of int8 tensors one behind the other


def take_trained(subject: Subject, case: Case) -> Subject:
    """Gives activations the ranges that they were trained with.

    What a simulation rounded to int8 has that int8 range. As for what layers read at learned steps: where nothing but
    layers of one range reads a tensor that was not rounded otherwise, the tensor itself gets it, which costs nothing.
    Elsewhere (a sum that a later sum reads too) the layer gets an ADD of zero in front, which rescales, and the tensor
    stays as it is. Signed values of few bits have another ADD, which clips them from below.

    Args:
        subject: the float model so far.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot quantize the model.
    """
    trained = {op: spans for op in subject.model.graph.ops if (spans := case.trained_ranges(op))}
    if not trained and not case.handed_on:
        return subject
    subject, ties = ties_of(subject, case)
    ranges = _handed_on(case, ties)
    rounded = len(ranges)
    readers: dict[str | None, dict[Op, Spans]] = {}
    for op, spans in trained.items():
        readers.setdefault(ties.owner(_read_by(op)), {})[op] = spans
    requantized: dict[str, Spans] = {}
    for owner, ops in readers.items():
        alone = owner is not None and owner not in ranges and _only_for(owner, ops, ties)
        if owner is not None and alone:
            ranges[owner] = next(iter(ops.values()))[0]
        requantized.update({op.outputs[0].name: spans[alone:] for op, spans in ops.items() if spans[alone:]})
    done = []
    if trained:
        extra = f"; {plural(len(requantized), 'layer')} behind an ADD that rescales" if requantized else ""
        done.append(Mended("range", f"inputs of {plural(len(trained), 'layer')}", f"learned in training{extra}"))
    if rounded:
        done.append(Mended("range", plural(rounded, "activation"), "as the simulation rounded them"))
    return replace(
        subject,
        ranges={**subject.ranges, **ranges},
        requantized=requantized,
        mended=(*subject.mended, *done),
    )


def _handed_on(case: Case, ties: Ties) -> dict[str, Range]:
    """Ranges of what the simulation rounded, by the tensor that makes the scale."""
    found: dict[str, Range] = {}
    tensors = last_tensors(case.model)
    for name, span in case.handed_on.items():
        owner = ties.owner(tensors[name]) if name in tensors else None
        if owner is not None:
            found[owner] = span
    return found


def _read_by(op: Op) -> Tensor:
    kind = kind_of(op)
    assert kind is not None, op.name
    return op.input(kind.site.activation)


def _only_for(owner: str, ops: Mapping[Op, Spans], ties: Ties) -> bool:
    if len(set(ops.values())) > 1 or not ties.only_for(owner, ops.keys()):
        return False
    group = ties.groups[owner]
    return all(op.name not in MIXING for tensor in group for op in ties.readers.get(tensor, ()) if op not in ops)
