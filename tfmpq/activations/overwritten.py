"""Ranges that TensorFlow's calibrator gets wrong: it reads some tensors after another operator has overwritten them.

Operators that may work in place put their results where an operand was: sums where a branch ends, products, softmaxes.
The calibrator looks at that operand once more afterwards, and takes the result for some of its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import FileFormatError
from converters.tflite.graph import Graph, Op, Tensor, TensorType
from tfmpq.activations.inner_values import inner_values
from tfmpq.activations.scale_ties import Ties
from tfmpq.activations.subject import Case, Mended, Range, Subject
from tfmpq.text import plural

_IN_PLACE = {"ADD", "SUB", "MUL", "DIV", "SOFTMAX", "LOGISTIC", "TANH", "HARD_SWISH", "SQUARED_DIFFERENCE"}
_STRETCHED = 1.02  # times as wide as it is; less is not worth another file
_NAMED = 3


@dataclass(frozen=True, eq=False)
class _Operand:
    """A tensor that an operator may overwrite."""

    tensor: Tensor
    op: Op


def mend_overwritten(subject: Subject, case: Case) -> Subject:
    """Sets ranges of operands that TensorFlow's calibrator may have seen overwritten: those of their own values.

    All samples are run, as TensorFlow does for its ranges. Ranges that are set already stay.

    Args:
        subject: the float model so far.
        case: the conversion.
    """
    operands = [o for o in _operands(subject.model.graph) if o.tensor.name not in subject.ranges]
    results = {o.op.outputs[0] for o in operands}
    tensors = list(dict.fromkeys((*(o.tensor for o in operands), *results)))
    spans = dict.fromkeys(tensors, (np.inf, -np.inf))
    try:
        for values in inner_values(subject.model, tensors, case.data.whole.originals()):
            for tensor, value in values.items():
                low, high = spans[tensor]
                spans[tensor] = min(low, float(value.min())), max(high, float(value.max()))
    except FileFormatError:  # the model as a whole runs, or later stages say why not
        return subject
    found = {
        o.tensor: _width(_union(spans[o.tensor], spans[o.op.outputs[0]])) / _width(spans[o.tensor])
        for o in operands
        if _width(spans[o.tensor]) > 0
    }
    wrong = {tensor: times for tensor, times in found.items() if times > _STRETCHED}
    if not wrong:
        return subject
    worst = sorted(wrong, key=lambda t: -wrong[t])[:_NAMED]
    names = ", ".join(dict.fromkeys(case.layer_names.get(t.name, t.name) for t in worst))
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    why = (
        f"ranges of {plural(len(wrong), 'tensor')} are those of their own values, where TensorFlow's calibrator reads "
        f"operands that a sum or product may have overwritten, up to {max(wrong.values()):.2g} times as wide"
    )
    ranges = {**subject.ranges, **{tensor.name: spans[tensor] for tensor in wrong}}
    return replace(subject, ranges=ranges, mended=(*subject.mended, Mended("range", names + more, why)))


def _operands(graph: Graph) -> Iterator[_Operand]:
    ties = Ties.of(graph)
    taken: set[Tensor] = set()
    for op in graph.ops:
        if op.name not in _IN_PLACE or 0 in op.outputs[0].shape:
            continue
        for tensor in (t for t in op.inputs if t is not None):
            computed = tensor in ties.producers and tensor.type == TensorType.FLOAT32 and tensor not in graph.outputs
            fits = computed and tensor.shape == op.outputs[0].shape
            if fits and tensor not in taken and ties.owner(tensor) is tensor:
                taken.add(tensor)
                yield _Operand(tensor, op)


def _union(first: Range, second: Range) -> Range:
    return min(first[0], second[0]), max(first[1], second[1])


def _width(span: Range) -> float:
    return max(span[1], 0.0) - min(span[0], 0.0)
