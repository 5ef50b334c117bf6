"""The dynamic-range twin of a float file: int8 weights, activations in float, which the runtime rounds row by row.

It is to float activations what TensorFlow's full-int8 file is to int8 ones: what results are held against, and what
layers are replaced in. TensorFlow's converter makes such files of Keras models and SavedModels only, in one step with
the conversion; the weights are rounded here as it rounds them, so that every float file has one.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from converters.layers.kinds import Site, WeightKind, kind_of
from converters.points import INT8_LIMIT
from converters.rewriting.hybrid_lstm import quantize_lstm
from converters.rewriting.hybrid_products import quantize_product
from converters.rewriting.small_constants import is_large, shrink_tables
from converters.tflite.calls import graph_label
from converters.tflite.file import File
from converters.tflite.graph import Model, Op, Quantization, Tensor, TensorType
from converters.tflite.writer import save


def dynamic_file(model: Model, chosen: Collection[int] | None = None) -> File:
    """The file with every weight in int8 rows that kernels take beside float activations.

    Args:
        model: a float model; it stays as it is.
        chosen: numbers of the graphs whose weights may change; None: all. Where a weight is in other graphs too, it
            changes there as well, so that it stays one; where an operator there cannot take it, it stays in float.
    """
    numbers = range(len(model.graphs)) if chosen is None else chosen
    copy = model.clone().model
    stays = {id(data) for data in float_elsewhere(model, numbers)}  # clones share data
    made: dict[int, Tensor] = {}  # by data: one, however many operators share it
    for number in numbers:
        for op in copy.graphs[number].ops:
            for site, weight in _weights(op):
                if id(weight.data) not in stays:
                    _replace(op, site, weight, made)
    for number in set(range(len(copy.graphs))).difference(numbers):
        for op in copy.graphs[number].ops:
            for site, weight in _weights(op):
                if id(weight.data) in made:
                    _replace(op, site, weight, made)
    matrices: dict[int, Tensor] = {}
    for number in numbers:
        for op in copy.graphs[number].ops:
            if not quantize_lstm(op, matrices):
                quantize_product(op, matrices, by_channel=True)
    tables: dict[int, Tensor] = {}
    for graph in copy.graphs:
        shrink_tables(graph, tables)  # those that no lookup reads by rows
    content = save(copy)
    return File.parse(content)


def float_elsewhere(model: Model, chosen: Collection[int]) -> dict[bytes, str]:
    """Weights of the chosen graphs that stay in float, and why: what reads them in other graphs takes no integers.

    Args:
        model: a float model, as read from a file: what is one buffer there is one object.
        chosen: numbers of the graphs whose weights may change.
    """
    own = {id(t.data): t for i in chosen for op in model.graphs[i].ops for _, t in _weights(op)}
    found: dict[bytes, str] = {}
    for number in set(range(len(model.graphs))).difference(chosen):
        for op in model.graphs[number].ops:
            taken = {id(t.data) for _, t in _weights(op)}
            for tensor in op.inputs:
                if tensor is not None and tensor.data is not None and id(tensor.data) in own.keys() - taken:
                    where = graph_label(model, number)
                    found[tensor.data] = f"{op.name} of {where} reads it too, and takes it in float only"
    return found


def _weights(op: Op) -> list[tuple[Site, Tensor]]:
    """Weights of an operator that become int8, and where it keeps them."""
    kind = kind_of(op)
    if kind is None or kind.stays_float is not None:
        return []
    found = [(site, op.optional_input(site.weight)) for site in kind.sites]
    floats = [
        (site, tensor)
        for site, tensor in found
        if tensor is not None and (kind.table or op.input(site.activation).type == TensorType.FLOAT32)
    ]
    return [(site, tensor) for site, tensor in floats if is_large(tensor)]


def _replace(op: Op, site: Site, weight: Tensor, made: dict[int, Tensor]) -> None:
    kind, data = kind_of(op), weight.data
    assert kind is not None, op.name
    known = made.get(id(data))
    if known is None or (known.shape, known.name) != (weight.shape, weight.name):
        known = made[id(data)] = int8_rows(kind, weight)
    op.inputs[site.weight] = known
    op.version = max(kind.dynamic_version, kind.version(op.version) if op.optional_input(site.bias) else 1)
    rounds_rows(op)
    if kind.needs_bias and site.bias is not None and op.optional_input(site.bias) is None:
        rows = known.shape[kind.row_axis]
        del op.inputs[site.bias :]
        zeros = np.zeros(rows, np.float32)
        op.inputs.append(Tensor(f"{weight.name}/bias", (rows,), TensorType.FLOAT32, zeros.tobytes()))


def int8_rows(kind: WeightKind, weight: Tensor) -> Tensor:
    """A float weight as int8 rows around zero, each with a scale of its own.

    XNNPACK refuses scales below the normal range of float32, which rows have that training has let die.
    """
    rows = kind.rows(weight.array())
    largest = np.abs(rows).max(axis=1)
    steps = np.maximum(largest / np.float32(INT8_LIMIT), np.finfo(np.float32).tiny)
    scale = np.where(largest > 0, steps, 1).astype(np.float32)
    codes = np.clip(np.rint(rows / scale[:, None]), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    array = kind.tensor(codes, weight.shape)
    scaling = Quantization(scale, np.zeros(len(scale), np.int64), kind.row_axis)
    return Tensor(weight.name, weight.shape, TensorType.INT8, array.tobytes(), scaling)


def rounds_rows(op: Op) -> None:
    """Asks the plain kernels too to round rows between their minimum and maximum, as XNNPACK always does."""
    if hasattr(op.options, "asymmetricQuantizeInputs"):
        op.options.asymmetricQuantizeInputs = True
