"""Float files with LSTM operators, built from graph objects, and inputs that resemble each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.lowering.ops import make_op
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor
from converters.tflite.writer import save
from tests.support.whole_files import activation, constant, entry, product

STEPS, WIDTH, UNITS, OUTPUTS = 12, 40, 32, 40  # matrices of 1,024 numbers, which become int8 beside float activations
_TANH = 4


def lstm_weights(seed: int = 0) -> dict[int, np.ndarray]:
    """Matrices and biases by their places among the operator's inputs."""
    rng = np.random.default_rng(seed)
    matrices = {slot: rng.normal(size=(UNITS, WIDTH)) / np.sqrt(WIDTH) for slot in range(1, 5)}
    matrices |= {slot: rng.normal(size=(UNITS, UNITS)) / np.sqrt(UNITS) for slot in range(5, 9)}
    biases = {slot: rng.normal(size=UNITS) * 0.1 + (slot == 13) for slot in range(12, 16)}
    return {slot: values.astype(np.float32) for slot, values in {**matrices, **biases}.items()}


def lstm_op(source: Tensor, name: str, weights: dict[int, np.ndarray], *, steps_first: bool = False) -> Op:
    """An LSTM over all steps of ``source``."""
    inputs: list[Tensor | None] = [source, *[None] * 19]
    for slot, values in weights.items():
        inputs[slot] = constant(f"{name}/{slot}", values)
    batch = source.shape[1 if steps_first else 0]
    for slot in (18, 19):
        raw = schema.TensorT()
        raw.isVariable = True
        inputs[slot] = state = activation(f"{name}/state{slot}", (batch, UNITS))
        state.raw = raw
    return make_op(
        BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM, inputs, [activation(f"{name}/out", (*source.shape[:2], UNITS))],
        1, "UnidirectionalSequenceLSTMOptions", fusedActivationFunction=_TANH, timeMajor=steps_first,
    )  # fmt: skip


def lstm_graph(name: str, weights: Sequence[dict[int, np.ndarray]], *, steps_first: bool = False) -> Graph:
    """LSTMs that read the same input, their sum if there are two, and a dense layer."""
    x = activation(f"{name}/x", (STEPS, 1, WIDTH) if steps_first else (1, STEPS, WIDTH))
    layers = [lstm_op(x, f"{name}/lstm{i}", own, steps_first=steps_first) for i, own in enumerate(weights)]
    ops, last = list(layers), layers[0].outputs[0]
    if len(layers) > 1:
        total = activation(f"{name}/sum", last.shape)
        ops.append(make_op(BuiltinOperator.ADD, [op.outputs[0] for op in layers], [total], 1, "AddOptions"))
        last = total
    head = np.random.default_rng(9).normal(size=(OUTPUTS, UNITS)) / np.sqrt(UNITS)
    ops.append(product(last, f"{name}/head", head.astype(np.float32)))
    return Graph([x], ops[-1].outputs[:1], ops, name)


def lstm_file(*graphs: Graph) -> bytes:
    """A file of graphs, with a signature each."""
    return save(Model(list(graphs), [entry(graph.name, graph) for graph in graphs], {}))


def sequences(count: int, seed: int = 0, *, steps_first: bool = False) -> np.ndarray:
    """Inputs (count, steps, width) of which a few mixtures change slowly, as sensors and spectra do."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(100).normal(size=(4, WIDTH))
    walk = np.cumsum(rng.normal(size=(count, STEPS, 4)), axis=1) / 3
    values = walk @ mixing + 0.05 * rng.normal(size=(count, STEPS, WIDTH)) + 1
    return (values[:, :, None] if steps_first else values).astype(np.float32)
