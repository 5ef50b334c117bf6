"""Uses of one layer have one mean where biases of their own are not worth the bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.layers.kinds import DENSE
from converters.layers.layer import Geometry, Layer, Use
from converters.tflite.graph import BuiltinOperator, Op, Quantization, Tensor, TensorType
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.measure.shared_means import share_means

ROWS, COLUMNS, USES = 6, 8, 5
FEW, MANY = 1.0, 1e6  # bytes of a row's point: against 16 of biases saved a row


def _layer(scales: Sequence[float | None]) -> Layer:
    """A dense layer with a use for each scale of its input; None: float."""
    weight = Tensor("w", (ROWS, COLUMNS), TensorType.INT8)
    uses = []
    for scale in scales:
        source = Tensor("x", (1, COLUMNS), TensorType.FLOAT32 if scale is None else TensorType.INT8)
        if scale is not None:
            source.quantization = Quantization(np.array([scale], np.float32), np.array([0]))
        op = Op(BuiltinOperator.FULLY_CONNECTED, [source, weight], [Tensor("y", (1, ROWS), source.type)], 1)
        uses.append(Use(op, op, np.zeros(ROWS, np.float32), DENSE.sites[0]))
    return Layer("dense", DENSE, np.zeros((ROWS, COLUMNS), np.float32), 1, Geometry(), tuple(uses))


def _statistics(blocks: int = 1) -> LayerStatistics:
    rng = np.random.default_rng(0)
    means = rng.normal(size=(USES, 1, COLUMNS))
    covariance = np.stack([np.eye(COLUMNS // blocks)] * blocks)
    return LayerStatistics(means, means + 0.01, covariance, 100, np.zeros(blocks))


def test_one_mean_and_what_uses_differ_by_is_covariance():
    known = _statistics()
    found = share_means(_layer([None] * USES), known, FEW)
    np.testing.assert_allclose(found.means, np.broadcast_to(known.means.mean(0), found.means.shape))
    np.testing.assert_allclose(found.quantized_means - found.means, 0.01)
    assert len({mean.tobytes() for mean in found.means}) == 1  # biases are equal to the last bit
    np.testing.assert_allclose(found.second_moment(), known.second_moment())


def test_blocks_of_wide_layers_get_their_part():
    found = share_means(_layer([None] * USES), _statistics(blocks=2), FEW)
    whole = share_means(_layer([None] * USES), _statistics(), FEW)
    for number, block in enumerate(found.covariance):
        own = slice(4 * number, 4 * number + 4)
        np.testing.assert_allclose(block, whole.covariance[0, own, own])


def test_own_means_where_points_are_dear():
    known = _statistics()
    assert share_means(_layer([None] * USES), known, MANY) is known


def test_means_that_hardly_differ_are_one_though_points_are_dear():
    known = _statistics()
    close = known.means.mean(0) + 1e-4 * (known.means - known.means.mean(0))
    # The uses differ by 1e-8 of the power, about: less than 16 bytes of a million.
    alike = LayerStatistics(close, close, known.covariance, 100, known.shrinkage)
    assert len({mean.tobytes() for mean in share_means(_layer([None] * USES), alike, MANY).means}) == 1


def test_int8_biases_are_one_only_where_inputs_have_one_scale():
    known = _statistics()
    assert share_means(_layer([0.1, 0.2, 0.3, 0.4, 0.5]), known, FEW) is known
    found = share_means(_layer([0.1, 0.2, 0.1, 0.3, 0.2]), known, FEW)
    for first, second in ((0, 2), (1, 4)):
        np.testing.assert_array_equal(found.means[first], found.means[second])
    np.testing.assert_array_equal(found.means[3], known.means[3])


def test_a_single_use_stays():
    known = LayerStatistics(np.ones((1, 1, COLUMNS)), np.ones((1, 1, COLUMNS)), np.eye(COLUMNS)[None], 9, np.zeros(1))
    assert share_means(_layer([None]), known, FEW) is known
