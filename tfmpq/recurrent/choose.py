"""Which gates get chosen codes: those whose values come out better on samples that the codes were not fitted to.

Source of the rounding: Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", 2022 (arXiv 2210.17323). A gate of an LSTM is a
linear layer of the step's input and of the output before, so that both its matrices are rounded together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.errors import FileFormatError
from converters.layers.lstm_gates import Gate
from converters.rewriting.lstm_codes import with_constants
from converters.tflite.graph import Model, Op
from tfmpq.activations.mend import Activations
from tfmpq.activations.subject import Case, Mended
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.algorithms.exact import significant
from tfmpq.recurrent.gates import GateVersion, chosen_gate, nearest_gate
from tfmpq.recurrent.inputs import GateInputs, measure_gate_inputs, read_gate_inputs
from tfmpq.recurrent.lstms import Lstm, bias_of, find_lstms
from tfmpq.threads import serial_blas

_BITS = 40  # of sums that are compared: the others differ between machines
Versions = Mapping[Gate, Sequence[GateVersion]]


def choose_lstm_codes(mended: Activations, case: Case) -> Activations:
    """Chooses the codes of the LSTM operators of the file that layers are replaced in, by output error.

    Args:
        mended: the float model and its integer file, with int8 activations or float ones.
        case: the conversion.

    Returns:
        The same where there are none, or none gets better.
    """
    model = mended.subject.model
    try:
        lstms = find_lstms(model, mended.base.model, case.float_model.names)
        known = measure_gate_inputs(model, lstms, case.data.fit) if lstms else {}
    except FileFormatError:  # later stages say why the runtime refuses the model
        return mended
    constants: dict[Op, dict[int, np.ndarray]] = {}
    entries = []
    for lstm, inputs in known.items():
        if not np.isfinite(inputs.covariance).all():
            continue
        kept = _kept(model, lstm, inputs, case)
        if kept:
            entries.append(_entry(model, lstm, kept, case))
            for gate, (_, chosen) in kept.items():
                for op, values in _constants(gate, chosen).items():
                    constants.setdefault(op, {}).update(values)
    if not entries:
        return mended
    subject = replace(mended.subject, mended=(*mended.subject.mended, *entries))
    return Activations(subject, with_constants(mended.base, constants))


def _kept(model: Model, lstm: Lstm, inputs: GateInputs, case: Case) -> Versions:
    """Gates whose chosen codes err less than the nearest on samples for that: both versions of each."""
    with serial_blas():
        versions = {gate: (nearest_gate(lstm, gate), chosen_gate(lstm, gate, inputs)) for gate in lstm.gates}
    errors = _errors(model, lstm, versions, case.data.judge)
    return {gate: both for gate, both in versions.items() if errors[gate][1] < errors[gate][0]}


def _entry(model: Model, lstm: Lstm, kept: Versions, case: Case) -> Mended:
    errors = _errors(model, lstm, kept, case.data.held_out)
    signal = _signal(model, lstm, kept, case.data.held_out)
    before, after = (sqnr_db(signal, sum(error[number] for error in errors.values())) for number in (0, 1))
    of = "" if len(kept) == len(lstm.gates) else f" of gates {', '.join(gate.name for gate in kept)}"
    return Mended("codes", lstm.name, f"8-bit codes{of} chosen by the error of its gates", before, after)


def _errors(
    model: Model, lstm: Lstm, versions: Versions, samples: Sequence[Mapping[str, np.ndarray]]
) -> dict[Gate, list[float]]:
    """Summed squared errors of each gate's versions."""
    sums = {gate: [0.0] * len(both) for gate, both in versions.items()}
    with serial_blas():
        for read in read_gate_inputs(model, lstm.uses, iter(samples)):
            for gate, both in versions.items():
                for number, version in enumerate(both):
                    sums[gate][number] += sum(_square(version.error(use, rows)) for use, rows in read.items())
    return {gate: [significant(value, _BITS) for value in values] for gate, values in sums.items()}


def _signal(model: Model, lstm: Lstm, versions: Versions, samples: Sequence[Mapping[str, np.ndarray]]) -> float:
    """Summed squares of what the float gates make of samples."""
    weights = {gate: lstm.weight(gate).T for gate in versions}
    total = 0.0
    with serial_blas():
        for read in read_gate_inputs(model, lstm.uses, iter(samples)):
            for use, rows in read.items():
                total += sum(_square(rows @ weights[gate] + bias_of(use.float_op, gate)) for gate in versions)
    return total


def _square(values: np.ndarray) -> float:
    return float(np.einsum("pr,pr->", values, values))


def _constants(gate: Gate, version: GateVersion) -> dict[Op, dict[int, np.ndarray]]:
    """What goes where in the file."""
    found = {}
    for op, bias in version.biases.items():
        width = op.input(gate.step).shape[1]
        step, state = (np.ascontiguousarray(part) for part in np.split(version.codes, [width], axis=1))
        found[op] = {gate.step: step, gate.state: state, gate.bias: bias}
    return found
