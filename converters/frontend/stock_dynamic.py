"""What TensorFlow's converter makes of a float file with dynamic-range quantization: the file users compare with.

Its converter does so only in one step with the conversion of a Keras model or SavedModel; here the same is made of
any float file. Weights of layers become int8 rows with a scale a channel, matrices of LSTM
operators int8 with one scale each. All other constants of at least 1,024 numbers
become int8 with one scale: what a GATHER looks up is made float behind it, the others before they are read.
"""

from __future__ import annotations

from converters.frontend.dynamic_file import int8_rows, rounds_rows
from converters.layers.kinds import kind_of
from converters.rewriting.hybrid_lstm import quantize_lstm
from converters.rewriting.hybrid_products import quantize_product
from converters.rewriting.small_constants import is_large, shrink_constants, shrink_tables
from converters.tflite.file import File
from converters.tflite.graph import Model, Op, Tensor
from converters.tflite.writer import save


def stock_dynamic_file(model: Model) -> File:
    """The file as TensorFlow's converter would quantize it, in all graphs.

    Args:
        model: a float model; it stays as it is.
    """
    copy = model.clone().model
    rows: dict[tuple[int, str], Tensor] = {}  # by data and name: one, however many operators share it
    matrices: dict[int, Tensor] = {}
    tables: dict[int, Tensor] = {}
    for graph in copy.graphs:
        for op in graph.ops:
            if not quantize_lstm(op, matrices) and not quantize_product(op, matrices, by_channel=False):
                _quantize_weights(op, rows)
        shrink_tables(graph, tables)
    shrink_constants(copy)
    return File.parse(save(copy))


def _quantize_weights(op: Op, made: dict[tuple[int, str], Tensor]) -> None:
    kind = kind_of(op)
    for site in () if kind is None or kind.table else kind.sites:
        weight = op.optional_input(site.weight)
        if kind is None or weight is None or not is_large(weight):
            continue
        key = id(weight.data), weight.name
        if key not in made:
            made[key] = int8_rows(kind, weight)
        op.inputs[site.weight] = made[key]
        op.version = max(op.version, kind.dynamic_version)
        rounds_rows(op)
