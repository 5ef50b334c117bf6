"""What the gates of LSTMs read: in each step its input, and the output of the step before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.layers.lstm_gates import STATE
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, Tensor, TensorType
from converters.tflite.probe import probe
from tfmpq.algorithms.assembly import trusted_mean
from tfmpq.measure.moments import MEMORY_CAP, Samples, input_names
from tfmpq.measure.sums import FullSums
from tfmpq.recurrent.lstms import Lstm, Use
from tfmpq.threads import INFERENCE_THREADS, serial_blas


@dataclass(frozen=True)
class GateInputs:
    """Moments of what an LSTM's gates read.

    Attributes:
        means: float64 (d,) of each use.
        held_means: the same of what the integer file holds of it.
        covariance: float64 (d, d), shrunk where samples are few, the average over uses.
    """

    means: Mapping[Use, np.ndarray]
    held_means: Mapping[Use, np.ndarray]
    covariance: np.ndarray


def gate_inputs(steps: np.ndarray, outputs: np.ndarray, *, steps_first: bool) -> np.ndarray:
    """What gates read in every step of a sample, float32 (P, d).

    Args:
        steps: inputs of the steps, (batch, steps, n), or with ``steps_first`` (steps, batch, n).
        outputs: what the LSTM makes of them, likewise. Runs start from a state of zeros.
        steps_first: the layout.
    """
    axis = 0 if steps_first else 1
    before = np.zeros_like(outputs)
    places: list[slice] = [slice(None)] * outputs.ndim
    late, early = places.copy(), places.copy()
    late[axis], early[axis] = slice(1, None), slice(None, -1)
    before[tuple(late)] = outputs[tuple(early)]
    read = np.concatenate([steps, before], axis=-1)
    return read.reshape(-1, read.shape[-1])


def as_held(use: Use, read: np.ndarray) -> np.ndarray:
    """What an operator of the integer file holds of its gates' inputs (P, d): int8, or the very same floats."""
    step, state = use.op.input(0), use.op.input(STATE)
    if step.type != TensorType.INT8 or state.type != TensorType.INT8:
        return read
    width = step.shape[-1]
    parts = (_rounded(read[:, :width], step), _rounded(read[:, width:], state))
    return np.concatenate(parts, axis=1)


def _rounded(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    zero = tensor.zero_point
    codes = np.clip(np.rint(values * np.float32(1 / tensor.scale)) + zero, -128, 127)
    return (codes - zero) * np.float32(tensor.scale)


def read_gate_inputs(
    model: Model, uses: Sequence[Use], samples: Iterator[Mapping[str, np.ndarray]]
) -> Iterator[dict[Use, np.ndarray]]:
    """One sample after the other: what the gates of each operator read, (P, d).

    Args:
        model: the float model.
        uses: operators of its main graph.
        samples: to run it on.
    """
    named = input_names(model)
    tensors = dict.fromkeys(tensor for use in uses for tensor in (use.step_input, use.output))
    computed = [tensor for tensor in tensors if tensor not in named]
    interpreter = make_interpreter(probe(model, computed), threads=INFERENCE_THREADS)
    for feeds in samples:
        values = {tensor: feeds[named[tensor]] for tensor in tensors if tensor in named}
        values.update(zip(computed, run(interpreter, feeds), strict=True))
        yield {
            use: gate_inputs(values[use.step_input], values[use.output], steps_first=use.steps_first) for use in uses
        }


def measure_gate_inputs(model: Model, lstms: Sequence[Lstm], samples: Samples) -> dict[Lstm, GateInputs]:
    """Mean and covariance of what the gates of each LSTM read.

    Args:
        model: the float model.
        lstms: of its main graph.
        samples: to run it on; iterated once for as many LSTMs as fit in memory together.
    """
    found: dict[Lstm, GateInputs] = {}
    for group in _passes(lstms):
        uses = [use for lstm in group for use in lstm.uses]
        sums = {use: FullSums(1, lstm.columns) for lstm in group for use in lstm.uses}
        shifts = {use: np.zeros(lstm.columns) for lstm in group for use in lstm.uses}
        with serial_blas():
            for read in read_gate_inputs(model, uses, samples()):
                for use, rows in read.items():
                    sums[use].add(rows[None])
                    shifts[use] += (as_held(use, rows) - rows).sum(axis=0)
        for lstm in group:
            found[lstm] = _finish({use: sums.pop(use) for use in lstm.uses}, shifts)
    return found


def _finish(sums: Mapping[Use, FullSums], shifts: Mapping[Use, np.ndarray]) -> GateInputs:
    """Moments of one LSTM; ends the sums."""
    means = {use: total.mean()[0] for use, total in sums.items()}
    held = {
        use: trusted_mean(means[use], means[use] + shifts[use] / total.count, total.count)
        for use, total in sums.items()
    }
    first, *others = (total.covariance()[0][0] for total in sums.values())
    for other in others:
        first += other
    return GateInputs(means, held, first / len(sums))


def _passes(lstms: Sequence[Lstm]) -> list[list[Lstm]]:
    """Groups of LSTMs whose moments fit under the memory cap together."""
    groups: list[list[Lstm]] = [[]]
    used = 0
    for lstm in lstms:
        size = 8 * lstm.columns**2 * len(lstm.uses)
        if groups[-1] and used + size > MEMORY_CAP:
            groups.append([])
            used = 0
        groups[-1].append(lstm)
        used += size
    return groups
