"""Values whose effect saturates: scores far below the largest of a softmax, inputs of a sigmoid beyond 8, of a cap.

Clipping them costs nothing, and what is left has a finer step. int8 clips by itself at the ends of its range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from converters.errors import FileFormatError
from converters.rewriting.masks import PASSED_ON
from converters.tflite.graph import Graph, Op, Tensor, TensorType
from tfmpq.activations.masks.scores import lowest_top, softmax
from tfmpq.activations.scale_ties import Ties, ties_of
from tfmpq.activations.subject import Case, Mended, Range, Subject
from tfmpq.activations.values.inner_values import inner_rows
from tfmpq.activations.values.int8_values import rounded
from tfmpq.activations.values.sqnr import sqnr_db

Function = Callable[[np.ndarray], np.ndarray]

_SAMPLES = 16
_VALUES = 4096  # of a sample's tensor, to choose a range by
_GAIN_DB = 0.5  # on samples that the range was not chosen by; less is chance
# Scores that are clipped to so much less than the largest of their row become probabilities of less than int8's step,
# whatever the samples say of the mean.
_VANISHING = np.log(256)
_SHRINKAGE = 2.0 ** -(np.arange(1, 17) / 2)  # of either end of the range, down to 1/256


@dataclass(frozen=True)
class _Kind:
    """An operator whose output stops changing.

    Attributes:
        compute: values of float64 -> values.
        written: range of its int8 output where that is fixed; None: that of the values.
        rows: whether values along the last axis depend on each other.
    """

    compute: Function
    written: Range | None = None
    rows: bool = False


_KINDS = {
    "SOFTMAX": _Kind(softmax, (0, 255 / 256), rows=True),
    "LOGISTIC": _Kind(lambda x: 1 / (1 + np.exp(-np.clip(x, -700, 700))), (0, 255 / 256)),
    "TANH": _Kind(np.tanh, (-1, 127 / 128)),
    "RELU6": _Kind(lambda x: np.clip(x, 0, 6)),
    "RELU_N1_TO_1": _Kind(lambda x: np.clip(x, -1, 1)),
    "RELU_0_TO_1": _Kind(lambda x: np.clip(x, 0, 1)),
    "HARD_SWISH": _Kind(lambda x: x * np.clip(x + 3, 0, 6) / 6),
}


@dataclass(frozen=True, eq=False)
class _Read:
    """A tensor that only operators which saturate read.

    Attributes:
        tensor: that they read.
        owner: name of the tensor whose range makes its scale.
        op: one of the readers, which are all of one kind.
    """

    tensor: Tensor
    owner: str
    op: Op

    @property
    def kind(self) -> _Kind:
        """What the readers compute."""
        return _KINDS[self.op.name]


def mend_saturation(subject: Subject, case: Case) -> Subject:
    """Narrows ranges of values that only operators which saturate read, where what these write gains by it.

    Ranges are chosen on some samples and kept where others gain as well. Those that are set already stay, and
    all do with ``ranges="minmax"``.

    Args:
        subject: the float model as it will be quantized.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot quantize the model.
    """
    if case.options.ranges == "minmax" or not _candidates(subject.model.graph):
        return subject
    subject, ties = ties_of(subject, case)
    reads = [r for r in _reads(subject.model.graph, ties) if r.owner not in subject.ranges]
    if not reads:
        return subject
    tensors = [r.tensor for r in reads]
    try:
        fit = inner_rows(subject.model, tensors, islice(case.data.fit(), _SAMPLES), _VALUES)
        judge = inner_rows(subject.model, tensors, case.data.judge[:_SAMPLES], _VALUES)
    except FileFormatError:  # the model as a whole runs, or later stages say why not
        return subject
    ranges, done = dict(subject.ranges), []
    for read in reads:
        chosen_by, judged_by = fit[read.tensor], judge[read.tensor]
        whole = (min(float(v.min()) for v in chosen_by), max(float(v.max()) for v in chosen_by))
        span = _narrowed(read.kind, chosen_by, whole)
        before, after = (_output_db(read.kind, judged_by, s) for s in (whole, span))
        if after >= before + _GAIN_DB:
            ranges[read.owner] = span
            done.append(_mended(read, whole, span, case, (before, after)))
    return replace(subject, ranges=ranges, mended=(*subject.mended, *done))


def _candidates(graph: Graph) -> dict[Tensor, list[Op]]:
    """Tensors that only operators of one saturating kind read, and these."""
    found = {}
    for tensor, readers in graph.consumers().items():
        names = {op.name for op in readers if getattr(op.options, "beta", 1.0) == 1}
        only = len(names) == 1 and names <= _KINDS.keys() and len({op.name for op in readers}) == 1
        values = tensor.data is None and tensor.type == TensorType.FLOAT32 and 0 not in tensor.shape
        if only and values and tensor not in graph.outputs:
            found[tensor] = readers
    return found


def _reads(graph: Graph, ties: Ties) -> Iterator[_Read]:
    taken: set[str] = set()
    made = graph.producers()
    for tensor, readers in _candidates(graph).items():
        owner = ties.owner(tensor)
        if owner is None or owner in taken or not ties.only_for(owner, readers):
            continue
        group = set(ties.groups[owner])
        inner = (made[t] for t in group if t in made and not group.isdisjoint(made[t].inputs))
        if all(op.name in PASSED_ON for op in inner):  # in front of a pool, other values would be clipped
            taken.add(owner)
            yield _Read(tensor, owner, readers[0])


# ---------------------------------------------------------------- ranges


def _narrowed(kind: _Kind, values: Sequence[np.ndarray], whole: Range) -> Range:
    """The range of the least noise in what the operator writes: the lower end first, then the upper."""
    lows = [whole[0], *(whole[0] * _SHRINKAGE).tolist()]
    highs = [whole[1], *(whole[1] * _SHRINKAGE).tolist()]
    if kind.rows:  # the largest scores are what a softmax tells apart
        top = lowest_top(np.concatenate([v.max(-1) for v in values]), whole[0])
        lows, highs = [low for low in lows if top is not None and low <= top - _VANISHING], highs[:1]

    def best(spans: list[Range]) -> Range:
        return max((whole, *spans), key=lambda span: _output_db(kind, values, span))

    low = best([(low, whole[1]) for low in lows if low < whole[1]])[0]
    return best([(low, high) for high in highs if low < high])


def _output_db(kind: _Kind, values: Sequence[np.ndarray], span: Range) -> float:
    """Signal to noise of what the operator writes, its input and output int8."""
    right = [kind.compute(v) for v in values]
    written = kind.written or (min(float(y.min()) for y in right), max(float(y.max()) for y in right))
    noise = sum(
        float(((rounded(kind.compute(rounded(v, *span)), *written) - y) ** 2).sum())
        for v, y in zip(values, right, strict=True)
    )
    return sqnr_db(sum(float((y**2).sum()) for y in right), noise)


def _mended(read: _Read, whole: Range, span: Range, case: Case, db: tuple[float, float]) -> Mended:
    name = case.layer_names.get(read.op.outputs[0].name, read.op.outputs[0].name)
    why = (
        f"{read.op.name} makes nothing of more: its int8 input covers {span[0]:.3g} to {span[1]:.3g} in place of "
        f"{whole[0]:.3g} to {whole[1]:.3g}"
    )
    return Mended("range", name, why, *db)
