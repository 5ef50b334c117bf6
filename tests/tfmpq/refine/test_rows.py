from __future__ import annotations

import numpy as np

from tests.support.pipeline import residual
from tfmpq.refine.rows import whole_rows, with_rows
from tfmpq.stages import LayerSettings, Planned, advance


def planned() -> Planned:
    """Rows of one and of two 4-bit points."""
    weighed = residual().weighed("project", LayerSettings(4, 2, "radix", "fused"), np.ones((16, 1)))
    return advance(Planned, weighed, lowering="fused", counts=1 + np.arange(16) % 2)


def test_points_survive_as_whole_numbers():
    layer = planned()
    codes, grids = whole_rows(layer)
    np.testing.assert_array_equal(codes * grids.step[:, None], layer.points.reconstruct())
    assert (codes >= grids.low[:, None]).all()
    assert (codes <= grids.high[:, None]).all()
    again = with_rows(layer, codes, grids.step)
    for old, new in zip(layer.points.points, again.points.points, strict=True):
        np.testing.assert_array_equal(old.codes, new.codes)
        np.testing.assert_array_equal(old.scale, new.scale)


def test_other_codes_become_points_with_their_error_and_leave_the_former_layer_alone():
    layer = planned()
    codes, grids = whole_rows(layer)
    before = layer.points.reconstruct()
    codes[3, 0] -= np.sign(codes[3, 0]) or 1.0
    step = grids.step.copy()
    step[4] *= 2
    changed = with_rows(layer, codes, step)
    np.testing.assert_array_equal(changed.points.reconstruct(), codes * step[:, None])
    np.testing.assert_array_equal(layer.points.reconstruct(), before)
    apart = codes * step[:, None] - layer.layer.weight
    expected = np.einsum("ri,ij,rj->r", apart, layer.statistics.covariance[0], apart)
    found = np.where(layer.counts == 1, changed.candidates[0].error, changed.candidates[1].error)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
