"""Ranges that TensorFlow's calibrator gets wrong: it reads some tensors after another operator has overwritten them.

Operators that may work in place put their results where an operand was: sums where a branch ends, products, softmaxes.
The calibrator looks at that operand once more afterwards, and takes the result for some of its values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.errors import FileFormatError
from converters.tflite.graph import Graph, Model, Tensor, TensorType
from tfmpq.activations.base import with_measured
from tfmpq.activations.subject import Case, Mended, Range, Subject
from tfmpq.activations.values.inner_values import inner_values
from tfmpq.text import plural

_IN_PLACE = {"ADD", "SUB", "MUL", "DIV", "SOFTMAX", "LOGISTIC", "TANH", "HARD_SWISH", "SQUARED_DIFFERENCE"}
_STRETCHED = 1.02  # times as wide as it is; less is not worth another file
_NAMED = 3


def mend_overwritten(subject: Subject, case: Case) -> Subject:
    """Corrects measured ranges of operands that TensorFlow's calibrator has seen overwritten, to those of their values.

    All samples are run, as TensorFlow does for its ranges. A tensor that another operator reads later keeps its place,
    and its range is right.

    Args:
        subject: the float model as it will be quantized.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot calibrate the model.
    """
    operands = _operands(subject.model.graph)
    if not operands:
        return subject
    subject = with_measured(subject, case)
    if subject.exact:
        return subject
    try:
        spans = _spans(subject.model, operands, case)
    except FileFormatError:  # the model as a whole runs, or later stages say why not
        return subject
    measured = subject.measured or {}
    times = {t: _width(measured[t.name]) / _width(span) for t, span in spans.items() if _width(span) > 0}
    wrong = sorted((t for t in times if times[t] > _STRETCHED), key=lambda t: -times[t])
    if not wrong:
        return subject
    names = ", ".join(dict.fromkeys(case.layer_names.get(t.name, t.name) for t in wrong[:_NAMED]))
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    why = (
        f"{plural(len(wrong), 'tensor')} had ranges up to {times[wrong[0]]:.2g} times as wide as their values: "
        "TensorFlow's calibrator reads them after a sum or product has overwritten them"
    )
    corrected = {**measured, **{t.name: spans[t] for t in wrong}}
    return replace(subject, measured=corrected, mended=(*subject.mended, Mended("range", names + more, why)))


def _spans(model: Model, tensors: Sequence[Tensor], case: Case) -> dict[Tensor, Range]:
    """Extremes of the values on all samples that TensorFlow calibrates on."""
    spans = dict.fromkeys(tensors, (np.inf, -np.inf))
    for values in inner_values(model, tensors, case.data.whole.originals()):
        for tensor, value in values.items():
            low, high = spans[tensor]
            spans[tensor] = min(low, float(value.min())), max(high, float(value.max()))
    return spans


def _operands(graph: Graph) -> list[Tensor]:
    """Tensors of distinct names that an operator of the same shape reads last, and may overwrite."""
    last = {t: op for op in graph.ops for t in op.inputs if t is not None}
    written = Counter(t.name for t in graph.tensors())
    found = []
    for tensor in graph.producers():
        op = last.get(tensor)
        if op is None or op.name not in _IN_PLACE or tensor.shape != op.outputs[0].shape or 0 in tensor.shape:
            continue
        if tensor.type == TensorType.FLOAT32 and written[tensor.name] == 1 and tensor not in graph.outputs:
            found.append(tensor)
    return found


def _width(span: Range) -> float:
    return max(span[1], 0.0) - min(span[0], 0.0)
