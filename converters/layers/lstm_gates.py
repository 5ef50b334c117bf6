"""The matrices of LSTM operators: where each gate keeps what it multiplies with, and whose codes can be others."""

from __future__ import annotations

from dataclasses import dataclass

from converters.layers.kinds import LEAST_DYNAMIC
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType

STATE = 18  # the hidden state that a run starts from; its scale is that of what gates read of the step before
_PEEPHOLES, _PROJECTION, _NORMALIZATION = range(9, 12), range(16, 18), range(20, 24)


@dataclass(frozen=True)
class Gate:
    """One of the four products of a step, and its places among the operator's inputs.

    Attributes:
        name: what it is for.
        step: the matrix that multiplies with the input of the step.
        state: the matrix that multiplies with the output of the step before.
        bias: what is added.
    """

    name: str
    step: int
    state: int
    bias: int

    @property
    def matrices(self) -> tuple[int, int]:
        """Both matrices."""
        return self.step, self.state


_GATES = (Gate("input", 1, 5, 12), Gate("forget", 2, 6, 13), Gate("cell", 3, 7, 14), Gate("output", 4, 8, 15))
MATRICES = tuple(sorted(slot for gate in _GATES for slot in gate.matrices))


def is_lstm(op: Op) -> bool:
    """Whether an operator is an LSTM over a sequence."""
    return op.code == BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM


def gates_of(op: Op) -> tuple[Gate, ...]:
    """The gates of an LSTM: all four, or all but the input's where it is 1 less the forget gate."""
    return tuple(gate for gate in _GATES if op.optional_input(gate.step) is not None)


def has_projection(op: Op) -> bool:
    """Whether the output is a product with the hidden state, and the gates read that."""
    return any(op.optional_input(slot) is not None for slot in _PROJECTION)


def fixed_codes(op: Op, twin: Op | None) -> str | None:
    """Why the codes of an LSTM's matrices are left as TensorFlow rounds them; None: others can take their place.

    Args:
        op: LSTM of a float model.
        twin: the same in the file with integers.
    """
    for slots, what in ((_PROJECTION, "a projection"), (_PEEPHOLES, "peepholes"), (_NORMALIZATION, "normalized gates")):
        if any(op.optional_input(slot) is not None for slot in slots):
            return f"it has {what}, which its codes are not chosen for"
    gates = gates_of(op)
    constants = [op.optional_input(slot) for slot in _slots(gates)]
    if any(tensor is None or tensor.data is None or tensor.type != TensorType.FLOAT32 for tensor in constants):
        return "not all of its matrices and biases are float constants"
    if twin is None or not is_lstm(twin) or not all(twin.optional_input(slot) for slot in _slots(gates)):
        return "no operator of the file with integers is this one for certain"
    stored = [(op.input(slot), twin.input(slot)) for gate in gates for slot in gate.matrices]
    if any(tensor.type == TensorType.FLOAT32 for _, tensor in stored):
        few = f"a matrix has fewer than {LEAST_DYNAMIC:,} numbers"
        return f"its matrices stay in float, as all of them do beside float activations where {few}"
    if not all(_one_scale(*pair) for pair in stored):
        return "its matrices are not int8 around zero with one scale each"
    if not all(_is_bias(twin.input(gate.bias)) for gate in gates):
        return "its biases are neither float nor int32"
    return None


def _slots(gates: tuple[Gate, ...]) -> list[int]:
    return [slot for gate in gates for slot in (*gate.matrices, gate.bias)]


def _one_scale(real: Tensor, stored: Tensor) -> bool:
    """Whether a matrix is int8 around zero, at one scale."""
    if stored.data is None or stored.type != TensorType.INT8 or stored.quantization is None:
        return False
    scale, zero = stored.quantization.scale, stored.quantization.zero_point
    return stored.shape == real.shape and scale.size == 1 and not zero.any()


def _is_bias(stored: Tensor) -> bool:
    if stored.data is None:
        return False
    return stored.type == TensorType.FLOAT32 or (stored.type == TensorType.INT32 and stored.quantization is not None)
