"""Fits of a table's rows to times."""

from __future__ import annotations

import numpy as np
import pytest

from converters.targets import Row
from converters.targets.table import TERMS
from tfmpq.target.fit import fit_rows, nonnegative
from tfmpq.target.grid import cases
from tfmpq.target.operators import plain
from tfmpq.target.timing import Timed


def test_nonnegative_least_squares():
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix, right = rng.normal(size=(12, 4)), rng.normal(size=12)
        found = nonnegative(matrix, right)
        slope = matrix.T @ (matrix @ found - right)
        # Karush-Kuhn-Tucker: flat where positive, rising where zero.
        assert (found >= 0).all()
        assert np.abs(slope[found > 0]).max(initial=0) < 1e-9
        assert (slope > -1e-9).all()


def test_a_fit_finds_the_coefficients_and_the_tile():
    terms = dict(zip(TERMS, (0.5, 4.0, 0.02, 1.0, 0.0, 0.15), strict=True))
    rng, timed = np.random.default_rng(0), []
    for weights in ("INT8", "INT4"):
        truth = Row("FULLY_CONNECTED", weights, "INT8", "1x1", True, (7, 16), terms)
        for case in cases():
            work = case.work
            if (work.op, work.weights, work.activation, work.shape) == ("FULLY_CONNECTED", weights, "INT8", "1x1"):
                noise = 1 + 0.02 * rng.uniform(-1, 1)
                timed.append(Timed(case, True, truth.predict(work) * noise))
    rows = fit_rows(timed)
    assert [(row.weights, row.tile) for row in rows] == [("INT4", (7, 16)), ("INT8", (7, 16))]
    for row in rows:
        assert row.error < 0.02
        assert row.measured == sum(t.case.work.weights == row.weights for t in timed) > 30
        assert row.microseconds["mmacs"] == pytest.approx(4.0, rel=0.05)
        assert row.microseconds["kwritten"] == pytest.approx(0.15, rel=0.1)


def test_other_operators_share_the_row_of_those_without_one():
    timed = [Timed(plain(name, 7, 8), False, cost) for name, cost in (("NEG", 1.0), ("ABS", 1.0), ("SUB", 1.0))]
    timed.append(Timed(plain("RELU", 7, 8), True, 9.0))  # delegated: no example of what is not
    rows = {row.op: row for row in fit_rows(timed)}
    assert set(rows) == {"*", "NEG", "ABS", "SUB", "RELU"}
    assert (rows["*"].measured, rows["*"].delegated) == (3, False)
    assert rows["*"].predict(timed[0].case.work) == pytest.approx(1.0, rel=1e-3)
