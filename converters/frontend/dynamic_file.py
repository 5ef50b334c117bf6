"""The dynamic-range twin of a float file: int8 weights, activations in float, which the runtime rounds row by row.

It is to float activations what TensorFlow's full-int8 file is to int8 ones: what results are held against, and what
layers are replaced in. TensorFlow's converter makes such files of Keras models and SavedModels only, in one step with
the conversion; the weights are rounded here as it rounds them, so that every float file has one.
"""

from __future__ import annotations

from math import prod

import numpy as np

from converters.layers.kinds import LEAST_DYNAMIC, WeightKind, kind_of
from converters.points import INT8_LIMIT
from converters.tflite.file import File
from converters.tflite.graph import Model, Op, Quantization, Tensor, TensorType
from converters.tflite.writer import save


def dynamic_file(model: Model) -> File:
    """The file with every weight in int8 rows that kernels take beside float activations.

    Args:
        model: a float model; it stays as it is.
    """
    copy = model.clone().model
    made: dict[Tensor, Tensor] = {}  # one, however many operators share it
    for graph in copy.graphs:
        for op in graph.ops:
            _quantize(op, made)
    content = save(copy)
    return File.parse(content)


def _quantize(op: Op, made: dict[Tensor, Tensor]) -> None:
    kind = kind_of(op)
    if kind is None or kind.stays_float is not None:
        return
    for site in kind.sites:
        weight = op.optional_input(site.weight)
        floats = kind.table or op.input(site.activation).type == TensorType.FLOAT32
        if weight is None or not _is_large(weight) or not floats:
            continue
        if weight not in made:
            made[weight] = _int8(kind, weight)
        op.inputs[site.weight] = made[weight]
        op.version = max(kind.dynamic_version, kind.version(op.version) if op.optional_input(site.bias) else 1)
        rounds_rows(op)
        if kind.needs_bias and site.bias is not None and op.optional_input(site.bias) is None:
            rows = made[weight].shape[kind.row_axis]
            del op.inputs[site.bias :]
            zeros = np.zeros(rows, np.float32)
            op.inputs.append(Tensor(f"{weight.name}/bias", (rows,), TensorType.FLOAT32, zeros.tobytes()))


def _is_large(weight: Tensor) -> bool:
    return weight.data is not None and weight.type == TensorType.FLOAT32 and prod(weight.shape) >= LEAST_DYNAMIC


def _int8(kind: WeightKind, weight: Tensor) -> Tensor:
    rows = kind.rows(weight.array())
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 0, largest / np.float32(INT8_LIMIT), 1).astype(np.float32)
    codes = np.clip(np.rint(rows / scale[:, None]), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    array = kind.tensor(codes, weight.shape)
    scaling = Quantization(scale, np.zeros(len(scale), np.int64), kind.row_axis)
    return Tensor(weight.name, weight.shape, TensorType.INT8, array.tobytes(), scaling)


def rounds_rows(op: Op) -> None:
    """Asks the plain kernels too to round rows between their minimum and maximum, as XNNPACK always does."""
    if hasattr(op.options, "asymmetricQuantizeInputs"):
        op.options.asymmetricQuantizeInputs = True
