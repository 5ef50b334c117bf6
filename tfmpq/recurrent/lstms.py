"""The LSTMs of a network, and those that are one because they share their weights."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from converters.layers.lstm_gates import Gate, fixed_codes, gates_of, is_lstm
from converters.layers.names import LayerNames, name_ops
from converters.layers.twins import twin_ops
from converters.tflite.graph import Model, Op, Tensor, TensorType


@dataclass(frozen=True, eq=False)
class Use:
    """An operator that computes with an LSTM's weights.

    Attributes:
        float_op: in the float model.
        op: in the file with integers.
    """

    float_op: Op
    op: Op

    @property
    def step_input(self) -> Tensor:
        """What it reads: the input of all steps."""
        return self.float_op.input(0)

    @property
    def output(self) -> Tensor:
        """What it writes: the outputs of all steps."""
        return self.float_op.outputs[0]

    @property
    def steps_first(self) -> bool:
        """Whether steps are the first dimension, and samples of a batch the second."""
        return bool(getattr(self.float_op.options, "timeMajor", False))


@dataclass(frozen=True, eq=False)
class Lstm:
    """An LSTM whose codes can be chosen.

    Attributes:
        name: the user's name of the layer.
        uses: its operators in the main graph.
        others: operators of other graphs of the integer file with the very same matrices.
    """

    name: str
    uses: tuple[Use, ...]
    others: tuple[Op, ...] = ()

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Its gates."""
        return gates_of(self.uses[0].float_op)

    @property
    def columns(self) -> int:
        """How many numbers a gate reads: of the step's input, then of the output before."""
        op, gate = self.uses[0].float_op, self.gates[0]
        return sum(op.input(slot).shape[1] for slot in gate.matrices)

    def weight(self, gate: Gate) -> np.ndarray:
        """Both float matrices of a gate side by side, float64 (R, d)."""
        op = self.uses[0].float_op
        return np.concatenate([op.input(slot).array().astype(np.float64) for slot in gate.matrices], axis=1)

    def codes(self, gate: Gate) -> np.ndarray:
        """What the integer file has of them, int8 (R, d)."""
        op = self.uses[0].op
        return np.concatenate([op.input(slot).array() for slot in gate.matrices], axis=1)

    def scales(self, gate: Gate) -> np.ndarray:
        """The scale of each column of a gate, float64 (d,)."""
        tensors = [self.uses[0].op.input(slot) for slot in gate.matrices]
        return np.repeat([tensor.scale for tensor in tensors], [tensor.shape[1] for tensor in tensors])

    @property
    def is_finite(self) -> bool:
        """Whether all of its weights are numbers, and all scales steps."""
        op = self.uses[0].float_op
        weights = all(np.isfinite(self.weight(gate)).all() for gate in self.gates)
        biases = all(np.isfinite(op.input(gate.bias).array()).all() for gate in self.gates)
        return weights and biases and all((self.scales(gate) > 0).all() for gate in self.gates)


def bias_of(op: Op, gate: Gate) -> np.ndarray:
    """A gate's bias as an operator of either model has it, float64 (R,)."""
    tensor = op.input(gate.bias)
    values = tensor.array().astype(np.float64)
    return values if tensor.type == TensorType.FLOAT32 else values * tensor.scale


def find_lstms(model: Model, base: Model, names: LayerNames) -> tuple[Lstm, ...]:
    """The LSTMs of the main graph whose codes can be chosen; see :func:`fixed_codes` for the others.

    Args:
        model: the float model.
        base: its file with integers.
        names: what the user calls the layers of the float model.
    """
    ops = [op for op in model.graph.ops if is_lstm(op)]
    if not ops:
        return ()
    called = name_ops(ops, names)
    found: dict[tuple[Hashable, Hashable], list[Use]] = {}
    for float_op, op in twin_ops(model.graph, base.graph):
        if op is None or not is_lstm(float_op) or float_op.input(0).data is not None:
            continue
        if fixed_codes(float_op, op) is None:
            found.setdefault((_stored(float_op), _stored(op)), []).append(Use(float_op, op))
    elsewhere: dict[Hashable, list[Op]] = {}
    for op in _other_ops(base):
        elsewhere.setdefault(_stored(op), []).append(op)
    lstms = (
        Lstm(called[uses[0].float_op], tuple(uses), tuple(elsewhere.get(stored, ())))
        for (_, stored), uses in found.items()
    )
    return tuple(lstm for lstm in lstms if lstm.is_finite)


def _other_ops(base: Model) -> Iterator[Op]:
    """LSTMs of other graphs than the main one."""
    return (op for graph in base.graphs[1:] for op in graph.ops if is_lstm(op))


def _stored(op: Op) -> Hashable:
    """Equal for operators with the same matrices: what they hold, at which scale."""
    tensors = [op.optional_input(slot) for gate in gates_of(op) for slot in gate.matrices]
    return tuple(
        None if t is None else (t.type, t.data, None if t.quantization is None else t.quantization.scale.tobytes())
        for t in tensors
    )
