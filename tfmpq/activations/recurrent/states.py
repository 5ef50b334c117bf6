"""Ranges of what an LSTM carries from step to step, where TensorFlow's quantizer chooses what int8 kernels cannot use.

* The kernel computes with three scales of the hidden state (that of the variable, of the result of a step, and of the
  output) as if they were one. The quantizer makes them one unless something else claims the output's, as a
  CONCATENATION of two directions does; all that is read from the layer is then off by the ratio of the scales. The
  same happens to a REVERSE_V2 between the layer and the CONCATENATION, whose kernel moves integers as they are.
* It knows no tanh of a cell state of smaller steps than 2^-15, which the quantizer gives cell states that stay within
  +-0.5; the output is then arbitrary.

Both were found by running files of the one layer (ai-edge-litert 2.3, TensorFlow 2.21), and the tests do it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from converters.tflite.graph import BuiltinOperator, Op, Tensor
from tfmpq.activations.ranges.by_hand import owners_by_hand
from tfmpq.activations.scale_ties import Ties, ties_of
from tfmpq.activations.subject import Case, Mended, Range, Subject

_PROJECTION, _HIDDEN, _CELL = 16, 18, 19  # places among the inputs
_RESULT = 4  # number of the hidden state among what the calibrator looks at inside of the operator
_LEAST_CELL = 1.0  # of which 2^-15 is the step


@dataclass(frozen=True, eq=False)
class _Layer:
    """An LSTM.

    Attributes:
        number: of the operator in the graph.
        op: the operator.
    """

    number: int
    op: Op

    @property
    def cell(self) -> Tensor:
        """The variable that holds the cell state."""
        return self.op.input(_CELL)

    @property
    def held(self) -> tuple[str, str]:
        """Names of the hidden state, as the variable holds it and as a step makes it."""
        # TensorFlow's calibrator names what it sees inside of operators by their number.
        return self.op.input(_HIDDEN).name, f"intermediate_{self.number}_{_RESULT}"

    def reach(self, group: Collection[str], subject: Subject) -> Range | None:
        """What the data reach in its output, if its states are in the group."""
        return (subject.measured or {}).get(self.op.outputs[0].name) if self.held[0] in group else None


def mend_states(subject: Subject, case: Case) -> Subject:
    """Gives hidden states the scale of their layer's output, and cell states one that the kernel can use.

    No choice is made here, and nothing judged: with other scales the layer computes something else.

    Args:
        subject: the float model as it will be quantized; its ranges are as they will be.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot quantize the model.
    """
    layers = list(_layers(subject))
    if not layers and not any(op.code == BuiltinOperator.REVERSE_V2 for op in subject.model.graph.ops):
        return subject
    subject, ties = ties_of(subject, case)
    by_hand = owners_by_hand(subject, case)
    known = {**(subject.measured or {}), **subject.ranges}
    cells, shared = _cells(layers, known), _shared(layers, known, ties, subject, by_hand)
    changed = {name: span for name, span in {**cells, **shared}.items() if known.get(name) != span}
    done = []
    for layer in layers:
        name = case.called(layer.op.outputs[0].name)
        if layer.cell.name in cells:
            done.append(Mended("state", name, "the kernel has no tanh of so small a cell state: its int16 covers +-1"))
        if any(own in changed for own in layer.held):
            done.append(Mended("state", name, "one scale for the hidden state and the output, as the kernel expects"))
    return replace(subject, ranges={**subject.ranges, **changed}, mended=(*subject.mended, *done))


def _layers(subject: Subject) -> Iterator[_Layer]:
    for number, op in enumerate(subject.model.graph.ops):
        if op.code == BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM and op.outputs[0].name not in subject.float_tail:
            yield _Layer(number, op)


def _cells(layers: Collection[_Layer], known: Mapping[str, Range]) -> dict[str, Range]:
    """Cell states that stay within half of what the kernel can hold."""
    found = {}
    for layer in layers:
        low, high = known.get(layer.cell.name, (-_LEAST_CELL, _LEAST_CELL))
        if max(-low, high) <= _LEAST_CELL / 2:
            found[layer.cell.name] = (-_LEAST_CELL, _LEAST_CELL)
    return found


def _shared(
    layers: Collection[_Layer], known: Mapping[str, Range], ties: Ties, subject: Subject, by_hand: Collection[str]
) -> dict[str, Range]:
    """One range for all that kernels take to have one scale: what a rule says, or what holds all of them."""
    found: dict[str, Range] = {}
    for group in _groups(layers, known, ties, subject):
        given = sorted(group & set(by_hand))
        spans = [known[name] for name in sorted(group)]
        # Errors of a state add up from step to step: nothing of it is clipped.
        spans += [span for layer in layers if (span := layer.reach(group, subject)) is not None]
        span = known[given[0]] if given else (min(s[0] for s in spans), max(s[1] for s in spans))
        found |= dict.fromkeys(group, span)
    return found


def _groups(
    layers: Collection[_Layer], known: Mapping[str, Range], ties: Ties, subject: Subject
) -> list[frozenset[str]]:
    """Names of tensors whose ranges make scales that have to be equal."""
    groups: list[frozenset[str]] = []

    def join(names: Collection[str | None]) -> None:
        new = frozenset(name for name in names if name is not None and name in known)
        touched = [group for group in groups if group & new]
        for group in touched:
            groups.remove(group)
        groups.append(new.union(*touched))

    for layer in layers:
        if layer.op.optional_input(_PROJECTION) is None:
            join([ties.owner(layer.op.outputs[0]), *layer.held])
    for op in subject.model.graph.ops:
        if op.code == BuiltinOperator.REVERSE_V2:
            join([ties.owner(op.input(0)), ties.owner(op.outputs[0])])
    return [group for group in groups if len(group) > 1]
