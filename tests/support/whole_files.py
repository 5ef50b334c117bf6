"""Float files with several graphs and open sizes, built from graph objects: what language models are exported as."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.lowering.ops import add
from converters.runtime.interpreter import make_interpreter
from converters.tflite.calls import arranged
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Signature, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.reader import load
from converters.tflite.writer import save

WIDTH, HIDDEN = 64, 128
UNSTEERED = "keep_stablehlo_constant"  # the metadata entry of litert-torch


def matrices(count: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Weights of a block: up, down, head."""
    rng = np.random.default_rng(seed)
    shapes = [(HIDDEN, WIDTH), (WIDTH, HIDDEN), (HIDDEN, WIDTH)][:count]
    return [(rng.normal(size=shape) / np.sqrt(shape[1])).astype(np.float32) for shape in shapes]


def constant(name: str, values: np.ndarray) -> Tensor:
    """A float constant."""
    return Tensor(name, values.shape, TensorType.FLOAT32, np.ascontiguousarray(values, np.float32).tobytes())


def activation(name: str, shape: Sequence[int]) -> Tensor:
    """A float activation; -1: any size."""
    signature = tuple(shape) if -1 in shape else None
    return Tensor(name, tuple(abs(n) for n in shape), TensorType.FLOAT32, None, None, signature)


def product(source: Tensor, name: str, values: np.ndarray, *, relu: bool = False) -> Op:
    """FULLY_CONNECTED over the last axis."""
    shape = (*(source.shape_signature or source.shape)[:-1], len(values))
    bias = constant(f"{name}/bias", np.linspace(-0.5, 0.5, len(values)))
    return make_op(
        BuiltinOperator.FULLY_CONNECTED, [source, constant(f"{name}/kernel", values), bias],
        [activation(f"{name}/out", shape)], 1, "FullyConnectedOptions",
        fusedActivationFunction=int(relu), keepNumDims=True,
    )  # fmt: skip


def block(name: str, length: int, weights: Sequence[np.ndarray]) -> Graph:
    """A feed-forward block with a residual sum, and a head."""
    x = activation(f"{name}/x", (1, length, WIDTH))
    up = product(x, "up", weights[0], relu=True)
    down = product(up.outputs[0], "down", weights[1])
    total = activation(f"{name}/sum", (1, length, WIDTH))
    head = product(total, "head", weights[2])
    return Graph([x], head.outputs[:1], [up, down, add(x, down.outputs[0], total, 0), head], name)


def entry(key: str, graph: Graph) -> Signature:
    """A signature of all of a graph: ``x`` to ``y``."""
    names = ["x", *(f"x_{i}" for i in range(1, len(graph.inputs)))]
    return Signature(key, list(zip(names, graph.inputs, strict=True)), [("y", graph.outputs[0])], graph)


def two_entries(*, order: Sequence[int] = (0, 1)) -> bytes:
    """``prefill`` of 8 positions and ``decode`` of one, with the same weights."""
    weights = matrices()
    graphs = [block("prefill", 8, weights), block("decode", 1, weights)]
    model = Model(graphs, [entry(graph.name, graph) for graph in graphs], {UNSTEERED: b"true"}, "two entries")
    return save(arranged(model, [model.graphs[i] for i in order], [model.signatures[i] for i in order]))


def open_length(*, batch: int = 1) -> bytes:
    """The block for any number of positions."""
    graph = block("main", -1, matrices())
    for tensor in graph.tensors():
        if tensor.data is None and batch == -1:
            tensor.shape_signature = (-1, *(tensor.shape_signature or tensor.shape)[1:])
    return save(Model([graph], [entry("serving_default", graph)], {}))


def run_entry(content: bytes, key: str, **feeds: np.ndarray) -> np.ndarray:
    """The output of a signature, at the sizes of its inputs."""
    model = load(content)
    signature = next(s for s in model.signatures if s.key == key)
    front = [signature.graph, *(g for g in model.graphs if g is not signature.graph)]
    interpreter = make_interpreter(save(arranged(model, front, [signature])))
    details = interpreter.get_input_details()
    for detail, (name, _) in zip(details, signature.inputs, strict=True):
        interpreter.resize_tensor_input(detail["index"], feeds[name].shape)
    interpreter.allocate_tensors()
    for detail, (name, _) in zip(details, signature.inputs, strict=True):
        interpreter.set_tensor(detail["index"], feeds[name])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def decibels(real: np.ndarray, made: np.ndarray) -> float:
    """Signal to noise."""
    noise = float(np.square(real - made).sum())
    return float(10 * np.log10(np.square(real).sum() / noise)) if noise else float("inf")
