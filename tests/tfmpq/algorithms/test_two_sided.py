from __future__ import annotations

import sys

import numpy as np
import pytest

from converters.points import grid_limits
from tests.support.rounding_problems import correlated_moment, heavy_tailed
from tfmpq.algorithms import two_sided, two_sided_loops
from tfmpq.algorithms.full_rows import FullMoment, damped
from tfmpq.algorithms.problem import Problem
from tfmpq.algorithms.radix import quantize_radix
from tfmpq.algorithms.two_sided import Grids, round_two_sided


def error(codes: np.ndarray, step: np.ndarray, weight: np.ndarray, moment: np.ndarray, outputs: np.ndarray) -> float:
    apart = codes * step[:, None] - weight
    return float(np.trace(outputs @ apart @ moment @ apart.T))


def layer(
    seed: int, rows: int, columns: int, *, coupled: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Grids]:
    """Weight, damped moments of inputs and outputs, and one-sided codes of rows of one and of two 4-bit points."""
    rng = np.random.default_rng(seed)
    weight = heavy_tailed(rng, 1, rows, columns)
    moment = correlated_moment(rng, 1, columns)
    outputs = correlated_moment(rng, 1, rows) if coupled else np.diag(rng.random(rows) + 0.1)[None]
    candidates = quantize_radix(Problem(weight, moment, 4, np.zeros((1, rows))), 2)
    second = rng.random(rows) < 0.3
    codes = np.where(second[:, None], 16.0 * candidates[1].codes[0] + candidates[1].codes[1], candidates[0].codes[0])
    step = np.where(second, candidates[1].scales[1], candidates[0].scales[0]).astype(np.float64)
    low, high = (np.where(second, grid_limits(4, 2)[i], grid_limits(4, 1)[i]).astype(np.float64) for i in range(2))
    grids = Grids(step, low, high, np.zeros(rows))
    return weight[0], damped(moment)[0], damped(outputs, share=0.02)[0], codes, grids


@pytest.mark.parametrize("seed", range(3))
def test_rows_together_err_less_where_outputs_depend_on_each_other(seed: int):
    weight, moment, outputs, codes, grids = layer(seed, 24, 40)
    before = error(codes, grids.step, weight, moment, outputs)
    found = round_two_sided(weight, codes, grids, FullMoment.of(moment[None]), outputs)
    after = error(found.codes, found.step, weight, moment, outputs)
    # One-sided codes are polished already; on these moments 20 to 40 % less is usual.
    assert after < 0.9 * before
    assert found.left == pytest.approx(after / before, rel=1e-6)
    assert (found.codes == np.rint(found.codes)).all()
    assert (found.codes >= grids.low[:, None]).all()
    assert (found.codes <= grids.high[:, None]).all()
    assert (found.step.astype(np.float32) == found.step).all()


def test_rows_that_nothing_couples_gain_little_and_never_lose():
    weight, moment, outputs, codes, grids = layer(5, 24, 40, coupled=False)
    found = round_two_sided(weight, codes, grids, FullMoment.of(moment[None]), outputs)
    assert 0.9 < found.left <= 1.0  # what further sweeps find


def test_exact_rows_stay():
    _, moment, outputs, codes, grids = layer(6, 8, 12)
    exact = codes * grids.step[:, None]
    found = round_two_sided(exact, codes, grids, FullMoment.of(moment[None]), outputs)
    assert found.left == 1.0
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_array_equal(found.step, grids.step)


def test_rows_of_zeros_and_outputs_that_do_not_matter():
    weight, moment, outputs, codes, grids = layer(7, 8, 12)
    weight[2], codes[2] = 0.0, 0.0
    outputs = outputs.copy()
    outputs[5], outputs[:, 5] = 0.0, 0.0
    found = round_two_sided(weight, codes, grids, FullMoment.of(moment[None]), damped(outputs[None])[0])
    assert np.isfinite(found.step).all()
    assert found.left <= 1.0


def test_scales_keep_to_their_floor():
    weight, moment, outputs, codes, grids = layer(8, 16, 24)
    grids = Grids(grids.step, grids.low, grids.high, grids.step)
    found = round_two_sided(weight, codes, grids, FullMoment.of(moment[None]), outputs)
    assert (found.step >= grids.floor).all()


def test_compiled_loops_and_numpy_give_the_same_codes(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("numba")
    weight, moment, outputs, codes, grids = layer(9, 20, 30)
    assert two_sided_loops.loops().compiled
    compiled = round_two_sided(weight, codes, grids, FullMoment.of(moment[None]), outputs)
    monkeypatch.setattr(two_sided, "loops", lambda: two_sided_loops.PLAIN)
    plain = round_two_sided(weight, codes, grids, FullMoment.of(moment[None]), outputs)
    np.testing.assert_array_equal(plain.codes, compiled.codes)
    np.testing.assert_array_equal(plain.step, compiled.step)
    assert plain.left == compiled.left


def test_numpy_serves_where_numba_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    two_sided_loops.loops.cache_clear()
    assert two_sided_loops.loops() is two_sided_loops.PLAIN
    monkeypatch.undo()
    two_sided_loops.loops.cache_clear()
