from __future__ import annotations

import numpy as np
import pytest

from tests.support.pipeline import residual
from tfmpq.refine.rows import whole_rows, with_rows
from tfmpq.stages import LayerSettings, Planned, advance


def planned(name: str = "project") -> Planned:
    """Rows of one and of two 4-bit points."""
    rows = residual().layers[name].channels
    weighed = residual().weighed(name, LayerSettings(4, 2, "radix", "fused"), np.ones((rows, 1)))
    return advance(Planned, weighed, lowering="fused", counts=1 + np.arange(rows) % 2)


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


@pytest.mark.parametrize("name", ["project", "dw"])  # one group of columns, and one for each row
def test_other_codes_become_points_with_their_error_and_leave_the_former_layer_alone(name: str):
    layer = planned(name)
    codes, grids = whole_rows(layer)
    before = layer.points.reconstruct()
    codes[3, 0] -= np.sign(codes[3, 0]) or 1.0
    step = grids.step.copy()
    step[4] *= 2
    changed = with_rows(layer, codes, step)
    np.testing.assert_array_equal(changed.points.reconstruct(), codes * step[:, None])
    np.testing.assert_array_equal(layer.points.reconstruct(), before)
    apart = codes * step[:, None] - layer.layer.weight
    apart = layer.layer.grouped(apart)
    expected = np.einsum("gri,gij,grj->gr", apart, layer.statistics.covariance, apart).ravel()
    found = np.where(layer.counts == 1, changed.candidates[0].error, changed.candidates[1].error)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
