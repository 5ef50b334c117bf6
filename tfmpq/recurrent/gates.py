"""A gate with its codes as TensorFlow rounds them, and with codes chosen by output error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.layers.lstm_gates import Gate
from converters.points import INT8_LIMIT
from converters.tflite.graph import Op, TensorType
from tfmpq.algorithms.exact import precise_product
from tfmpq.algorithms.fixed_scale import fixed_scale_codes
from tfmpq.recurrent.inputs import GateInputs, as_held
from tfmpq.recurrent.lstms import Lstm, Use, bias_of

_INT32 = 2**31 - 1


@dataclass(frozen=True, eq=False)
class GateVersion:
    """A gate on its way into a file.

    Attributes:
        codes: int8 (R, d), of both matrices side by side.
        biases: as the file stores them, float32 or int32 (R,): of each operator that computes with the matrices.
        weight: float64 (R, d), codes times scales.
        weight_error: float64 (R, d), that less the float weights.
        bias_error: float64 (R,) of each use: what the file adds less the float bias.
    """

    codes: np.ndarray
    biases: Mapping[Op, np.ndarray]
    weight: np.ndarray
    weight_error: np.ndarray
    bias_error: Mapping[Use, np.ndarray]

    def error(self, use: Use, read: np.ndarray) -> np.ndarray:
        """What the gate makes of its inputs as the file holds them, less what the float gate makes of them: (P, R).

        Args:
            use: the operator.
            read: float inputs (P, d).
        """
        error = precise_product(read.astype(np.float64), self.weight_error.T) + self.bias_error[use]
        held = as_held(use, read)
        if held is not read:
            error += precise_product((held - read).astype(np.float64), self.weight.T)
        return error


def nearest_gate(lstm: Lstm, gate: Gate) -> GateVersion:
    """The gate as the integer file has it."""
    ops = [*(use.op for use in lstm.uses), *lstm.others]
    return _version(lstm, gate, lstm.codes(gate), {op: op.input(gate.bias).array() for op in ops})


def chosen_gate(lstm: Lstm, gate: Gate, inputs: GateInputs) -> GateVersion:
    """The gate with codes that move its values least, at the scales of its matrices, and biases that take their mean.

    Args:
        lstm, gate: which.
        inputs: moments of what it reads.
    """
    weight, scales = lstm.weight(gate), lstm.scales(gate)
    codes = fixed_scale_codes(weight, scales, inputs.covariance, INT8_LIMIT).codes
    shifts = {
        use: precise_product(weight, inputs.means[use][:, None])[:, 0]
        - precise_product(codes * scales, inputs.held_means[use][:, None])[:, 0]
        for use in lstm.uses
    }
    biases = {use.op: _stored_bias(use.op, gate, bias_of(use.float_op, gate) + shifts[use]) for use in lstm.uses}
    # Other graphs have no data of their own: what is known of their inputs is what the main graph reads.
    common = np.mean(list(shifts.values()), axis=0)
    biases |= {op: _stored_bias(op, gate, bias_of(op, gate) + common) for op in lstm.others}
    return _version(lstm, gate, codes, biases)


def _stored_bias(op: Op, gate: Gate, wanted: np.ndarray) -> np.ndarray:
    """A bias as the operator keeps it."""
    tensor = op.input(gate.bias)
    if tensor.type == TensorType.FLOAT32:
        return wanted.astype(np.float32)
    return np.clip(np.rint(wanted / tensor.scale), -_INT32, _INT32).astype(np.int32)


def _version(lstm: Lstm, gate: Gate, codes: np.ndarray, biases: Mapping[Op, np.ndarray]) -> GateVersion:
    errors = {}
    for use in lstm.uses:
        tensor = use.op.input(gate.bias)
        step = 1.0 if tensor.type == TensorType.FLOAT32 else tensor.scale
        errors[use] = biases[use.op].astype(np.float64) * step - bias_of(use.float_op, gate)
    weight = codes * lstm.scales(gate)
    return GateVersion(codes, biases, weight, weight - lstm.weight(gate), errors)
