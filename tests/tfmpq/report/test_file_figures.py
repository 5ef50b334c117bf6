from __future__ import annotations

import zlib

import numpy as np
import pytest

from converters.runtime.interpreter import make_interpreter
from converters.tflite import graph
from converters.tflite.file import File
from tests.support import op_models
from tfmpq.report.file_figures import constant_bytes, count_macs, measure_file


def one_op(kind, source_shape, weight_shape, output_shape, **options):
    source = op_models.activation("x", source_shape, 0.1, 0)
    output = op_models.activation("y", output_shape, 0.1, 0)
    channels = weight_shape[3 if kind == "depthwise" else 0]
    weights = op_models.weight("w", kind, np.ones(weight_shape, np.int8), np.full(channels, 0.1))
    bias = op_models.bias("b", np.zeros(channels), source, weights)
    op = op_models.layer_op(kind, source, weights, bias, output, **options)
    return graph.Graph([source], [output], [op])


@pytest.mark.parametrize(
    ("kind", "source", "weight", "output", "options", "macs"),
    [
        # output positions x output channels x kernel x input channels
        ("conv", (1, 9, 9, 4), (8, 3, 3, 4), (1, 4, 4, 8), {"stride": (2, 2)}, 4 * 4 * 8 * 9 * 4),
        # grouped: every output channel sees 2 of 4 input channels
        ("conv", (1, 5, 5, 4), (6, 3, 3, 2), (1, 3, 3, 6), {}, 3 * 3 * 6 * 9 * 2),
        ("depthwise", (2, 5, 5, 4), (1, 3, 3, 8), (2, 3, 3, 8), {}, 2 * 3 * 3 * 8 * 9),
        ("dense", (7, 16), (10, 16), (7, 10), {}, 7 * 10 * 16),
        ("dense", (1, 3, 5, 16), (10, 16), (1, 3, 5, 10), {"keep_dims": True}, 3 * 5 * 10 * 16),
        # every input position meets the whole kernel
        (
            "transpose_conv", (1, 4, 4, 3), (5, 2, 2, 3), (1, 8, 8, 5), {"stride": (2, 2), "padding": "SAME"},
            4 * 4 * 3 * 5 * 4,
        ),
    ],
)  # fmt: skip
def test_macs(kind, source, weight, output, options, macs):
    assert count_macs(one_op(kind, source, weight, output, **options)) == macs


def test_constants_count_once_with_their_scales():
    shared = one_op("dense", (1, 16), (10, 16), (1, 10))
    op = shared.ops[0]
    once = 160 + 4 * 10 + 4 * 10 + 4 * 10  # codes, int32 bias, scales of both
    assert constant_bytes([op]) == once
    assert constant_bytes([op, op]) == once


def test_figures_of_a_file(conv_net_int8):
    figures = measure_file(File.parse(conv_net_int8), make_interpreter(conv_net_int8))
    assert figures.bytes == len(conv_net_int8)
    assert figures.deflated == len(zlib.compress(conv_net_int8, 9))
    assert figures.operators == {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    # stem, depthwise and 1x1 convolution on 8x8 positions, classifier
    assert figures.macs == 64 * (8 * 27 + 8 * 9 + 16 * 8) + 10 * 16
    assert figures.coverage.total_ops == 5
    assert figures.coverage.delegated_ops == 5
