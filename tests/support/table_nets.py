"""Graphs that look up rows of a table, built in code."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.frontend.dynamic_file import dynamic_file
from converters.layers.find import find_layers
from converters.layers.layer import Layer
from converters.rewriting.lookups import with_lookups
from converters.runtime.interpreter import Kernels, make_interpreter, run
from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Graph, Model, Op, Tensor, TensorType

ROWS, COLUMNS = 90, 16


def float_table(rows: int = ROWS, columns: int = COLUMNS, seed: int = 0) -> np.ndarray:
    """Rows of different sizes."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, columns)) * rng.uniform(0.2, 3, (rows, 1))
    return table.astype(np.float32)


def gather_model(
    table: np.ndarray,
    ids: tuple[int, ...] = (1, 7),
    *,
    type_: int = TensorType.INT32,
    axis: int = 0,
    open_sizes: tuple[int, ...] = (),
    tied: bool = False,
) -> Model:
    """GATHER(table, ids), and, if ``tied``, its rows times the table again."""
    weight = Tensor("net/tok/table", table.shape, TensorType.FLOAT32, table.tobytes())

    def signed(shape: tuple[int, ...]) -> tuple[int, ...] | None:
        return tuple(-1 if i in open_sizes else n for i, n in enumerate(shape)) if open_sizes else None

    source = Tensor("ids", ids, type_, shape_signature=signed(ids))
    shape = (*ids, table.shape[1])
    rows = Tensor("net/tok/rows", shape, TensorType.FLOAT32, shape_signature=signed(shape))
    options = schema.GatherOptionsT(axis=axis)
    ops = [Op(BuiltinOperator.GATHER, [weight, source], [rows], 1, schema.BuiltinOptions.GatherOptions, options)]
    result = rows
    if tied:
        result = Tensor("logits", (*ids, len(table)), TensorType.FLOAT32)
        dense = schema.FullyConnectedOptionsT(keepNumDims=True)
        kind = schema.BuiltinOptions.FullyConnectedOptions
        ops.append(Op(BuiltinOperator.FULLY_CONNECTED, [rows, weight, None], [result], 2, kind, dense))
    return Model([Graph([source], [result], ops)], [], {})


def table_layer(model: Model) -> tuple[Model, Layer]:
    """The file with int8 rows of a :func:`gather_model`, and its only layer."""
    plain = with_lookups(model)
    base = dynamic_file(plain).model
    (layer,), _ = find_layers(plain.graph, base.graph)
    return base, layer


def looked_up(content: bytes, ids: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
    """The only output of a file."""
    return run(make_interpreter(content, kernels=kernels), {"ids": ids})[0]


def some_ids(model: Model, rows: int, seed: int = 1) -> np.ndarray:
    """Ids for the model's input, the first and the last among them."""
    tensor = model.graph.inputs[0]
    ids = np.random.default_rng(seed).integers(0, rows, tensor.shape).astype(NUMPY_TYPES[tensor.type])
    ids.reshape(-1)[:1], ids.reshape(-1)[-1:] = 0, rows - 1
    return ids
