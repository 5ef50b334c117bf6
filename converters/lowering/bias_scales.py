"""Biases that borrow the scales of their weight's rows: one vector of the file in place of two.

TensorFlow Lite's kernels compute the unit of a bias, the input's scale times the row's, themselves. Where a weight has
a scale a row they do not read the bias' own (``PopulateConvolutionQuantizationParams`` in kernel_util.cc); where it has
a single one they compare the two and refuse a difference (``GetQuantizedConvolutionMultipler``). XNNPACK wants as many
as there are rows, each a normal number. A file so written does not say what its biases stand for: whoever reads their
scales, as plug-ins of accelerators do, computes something else.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.layers.kinds import kind_of
from converters.lowering.build import bias_scale
from converters.tflite.graph import Op, Quantization, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save

_CLOSE = 1e-6  # relative: what rounding in float32 makes of one product


def share_bias_scales(content: bytes) -> tuple[bytes, int]:
    """The file with the scales of rows in place of those of biases, and how many biases have them.

    Only where a weight has a scale a row, and every operator that reads the bias has those scales.
    """
    model = load(content)
    found: dict[Tensor, list[Quantization | None]] = {}
    for op in (op for graph in model.graphs for op in graph.ops):
        rows = _rows_of_bias(op)
        for tensor in (t for t in op.inputs if t is not None):
            found.setdefault(tensor, []).append(rows if rows is not None and tensor is _bias(op) else None)
    count = 0
    for bias, scalings in found.items():
        first = scalings[0]
        if first is not None and all(s is not None and np.array_equal(s.scale, first.scale) for s in scalings):
            assert bias.quantization is not None
            bias.quantization = replace(bias.quantization, scale=first.scale)  # equal vectors are written once
            count += 1
    return save(model), count


def _bias(op: Op) -> Tensor | None:
    kind = kind_of(op)
    return None if kind is None or len(kind.sites) != 1 else op.optional_input(kind.site.bias)


def _rows_of_bias(op: Op) -> Quantization | None:
    """The scales of the rows of an operator's weight, where its bias stands in their units."""
    kind, bias = kind_of(op), _bias(op)
    if kind is None or bias is None or bias.quantization is None or bias.type != TensorType.INT32:
        return None
    source, rows = op.input(kind.site.activation), op.input(kind.site.weight).quantization
    if source.quantization is None or rows is None or rows.scale.size < 2 or bias.data is None:
        return None
    known, exact = bias.quantization.scale, bias_scale(source.scale, rows.scale)
    return rows if known.shape == exact.shape and np.allclose(known, exact, rtol=_CLOSE, atol=0) else None
