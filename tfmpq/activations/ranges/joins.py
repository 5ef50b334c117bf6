"""Joined tensors of very different ranges: TensorFlow gives all that goes into a CONCATENATION one int8 scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import log10

import numpy as np

from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, Op, Tensor, TensorType
from converters.tflite.probe import probe
from tfmpq.activations.subject import Case, Range, Subject
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import shorten
from tfmpq.threads import INFERENCE_THREADS

Feed = Mapping[str, np.ndarray]

_JOINS = {"CONCATENATION", "PACK"}
_SAMPLES = 4
_STEPS = 255
_UNIFORM = 1 / 12  # variance of a rounding error, in squared steps
_UNEVEN = 4.0  # times the range of a branch, from where a join is looked at: 12 dB
_POOR = 15.0  # dB
_NAMED = 3
_NAME = 60  # columns in a sentence
_TINY = 1e-30


@dataclass(frozen=True)
class Branch:
    """One input of a join.

    Attributes:
        tensor: its name.
        range: of its values, 0 included.
        joined_db: its signal to the rounding noise of the join's scale.
        own_db: the same, had it a scale of its own.
    """

    tensor: str
    range: Range
    joined_db: float
    own_db: float


@dataclass(frozen=True, eq=False)
class Join:
    """A CONCATENATION or PACK.

    Attributes:
        op: the operator, of the float model.
        range: that its scale covers.
        branches: its inputs that are no constants, in order.
    """

    op: Op
    range: Range
    branches: Sequence[Branch]


def uneven_joins(model: Model, ranges: Mapping[str, Range], samples: Sequence[Feed]) -> Iterator[Join]:
    """Joins of which a branch is given a scale more than four times as coarse as its own would be.

    Args:
        model: float.
        ranges: tensor name -> range that int8 covers.
        samples: feeds by signature input name, to measure the signal on.

    Yields:
        In the order of the graph, with the losses of all branches.

    Raises:
        FileFormatError: The runtime refuses the model.
    """
    found = [(op, _branches(op, ranges)) for op in model.graph.ops if op.name in _JOINS]
    uneven = [(op, parts) for op, parts in found if parts and _is_uneven(op, parts, ranges)]
    if not uneven:
        return
    squares = _mean_squares(model, [tensor for _, parts in uneven for tensor in parts], samples)
    for op, parts in uneven:
        whole = _with_zero(ranges[op.outputs[0].name])
        branches = []
        for tensor in parts:
            own = _with_zero(ranges[tensor.name])
            branches.append(Branch(tensor.name, own, *(_db(squares[tensor], span) for span in (whole, own))))
        yield Join(op, whole, branches)


def note_joins(subject: Subject, case: Case) -> Subject:
    """Warns of branches that have less than 15 dB at the scale of what they are joined to, and would have more.

    Args:
        subject: the float model as it will be quantized.
        case: the conversion.
    """
    ranges = subject.measured if subject.measured is not None or subject.model is not case.model else case.measured
    if not ranges:
        return subject
    samples = list(islice(case.data.fit(), _SAMPLES))
    warnings = []
    for join in uneven_joins(subject.model, {**ranges, **subject.ranges}, samples):
        if join.op.outputs[0].name in subject.float_tail:
            continue
        poor = [branch for branch in join.branches if branch.joined_db < _POOR < branch.own_db]
        if poor:
            warnings.append(_warning(join, poor, case))
    return replace(subject, warnings=(*subject.warnings, *warnings))


def _branches(op: Op, ranges: Mapping[str, Range]) -> list[Tensor]:
    varying = [t for t in op.inputs if t is not None and t.data is None and t.type == TensorType.FLOAT32]
    known = op.outputs[0].name in ranges and all(t.name in ranges for t in varying)
    return list(dict.fromkeys(varying)) if known else []


def _is_uneven(op: Op, parts: Sequence[Tensor], ranges: Mapping[str, Range]) -> bool:
    whole = _width(ranges[op.outputs[0].name])
    return any(0 < _width(ranges[tensor.name]) < whole / _UNEVEN for tensor in parts)


def _with_zero(span: Range) -> Range:
    return min(span[0], 0.0), max(span[1], 0.0)


def _width(span: Range) -> float:
    low, high = _with_zero(span)
    return high - low


def _db(square: float, span: Range) -> float:
    noise = _UNIFORM * (_width(span) / _STEPS) ** 2
    return 10 * log10(max(square, _TINY) / max(noise, _TINY))


def _mean_squares(model: Model, tensors: Sequence[Tensor], samples: Sequence[Feed]) -> dict[Tensor, float]:
    keys = {tensor: key for s in model.signatures[:1] for key, tensor in s.inputs}
    given = [tensor for tensor in dict.fromkeys(tensors) if tensor in model.graph.inputs]
    inner = [tensor for tensor in dict.fromkeys(tensors) if tensor not in model.graph.inputs]
    sums = dict.fromkeys(tensors, 0.0)
    interpreter = make_interpreter(probe(model, inner), threads=INFERENCE_THREADS) if inner else None
    for feed in samples:
        values = [] if interpreter is None else run(interpreter, feed)
        inputs = [feed[keys.get(tensor, tensor.name)] for tensor in given]
        for tensor, array in zip((*inner, *given), (*values, *inputs), strict=True):
            sums[tensor] += float(np.square(array, dtype=np.float64).mean()) / len(samples)
    return sums


def _warning(join: Join, poor: Sequence[Branch], case: Case) -> Suspicion:
    def called(name: str) -> str:
        return shorten(case.layer_names.get(name, name), _NAME)

    named = ", ".join(
        f"'{called(b.tensor)}' ({b.range[0]:.3g} to {b.range[1]:.3g}) has {b.joined_db:.0f} dB there and would have "
        f"{b.own_db:.0f} alone"
        for b in poor[:_NAMED]
    )
    more = f", and {len(poor) - _NAMED} more" if len(poor) > _NAMED else ""
    return Suspicion(
        "activations",
        "uneven join",
        f"int8 gives all that is joined in '{called(join.op.outputs[0].name)}' ({join.op.name}) the one scale of "
        f"{join.range[0]:.3g} to {join.range[1]:.3g}: {named}{more}. It is the same in stock int8. Bring the parts to "
        "one range in the model: scale inputs alike, or put a normalization in front of the join.",
    )
