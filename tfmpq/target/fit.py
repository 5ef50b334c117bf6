"""Rows of a cost table from timed operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from converters.targets.table import ANY_OP, TERMS, Row
from tfmpq.target.grid import ANY
from tfmpq.target.timing import Timed

_POSITIONS = (1, 4, 5, 6, 7, 8, 10)
_ROWS = (1, 4, 8, 16, 32, 64)
_MIN_FOR_TILES = 10  # fewer operators would fit any tile by chance
_BETTER = 0.9  # a tile must lower the error to this share to be taken
_DIGITS = 4
_REWEIGHTED = 2
_NOISE = 0.03  # relative errors below it count as equal

_Key = tuple[str, str, str, str, bool]  # operator, weights, activation, shape class, delegated


def fit_rows(timed: Sequence[Timed]) -> tuple[Row, ...]:
    """One row for every kind of operator that was timed, and one for all others."""
    groups: dict[_Key, list[Timed]] = {}
    for item in timed:
        work = item.case.work
        keys = [(work.op, work.weights, work.activation, work.shape, item.delegated)]
        if work.op in ANY and not item.delegated:
            keys.append((ANY_OP, "", work.activation, "", False))
        for key in keys:
            groups.setdefault(key, []).append(item)
    families: dict[tuple[object, ...], dict[_Key, list[Timed]]] = {}
    for key, items in sorted(groups.items()):
        families.setdefault(_family(key), {})[key] = items
    rows = [row for family in families.values() for row in _fit(family)]
    return tuple(sorted(rows, key=lambda row: (row.op, row.weights, row.activation, row.shape, row.delegated)))


def _family(key: _Key) -> tuple[object, ...]:
    """Kinds of operators that run in the same kernel, whose tile is one."""
    op, weights, activation, shape, delegated = key
    product = "product" if op in ("CONV_2D", "FULLY_CONNECTED") else op
    return product, bool(weights), activation, shape, delegated


def _fit(family: Mapping[_Key, Sequence[Timed]]) -> list[Row]:
    """The rows of a family, with the tile that has the lowest error if that is clearly lower than without."""
    plain = [_solve(key, (1, 1), items) for key, items in family.items()]
    if sum(row.measured for row in plain) < _MIN_FOR_TILES:
        return plain
    tiles = [(p, r) for p in _POSITIONS for r in _ROWS]
    best = min(([_solve(key, tile, items) for key, items in family.items()] for tile in tiles), key=_error)
    return best if _error(best) < _BETTER * _error(plain) else plain


def _error(rows: Sequence[Row]) -> float:
    return sum(row.error * row.measured for row in rows)


def _solve(key: _Key, tile: tuple[int, int], items: Sequence[Timed]) -> Row:
    """The row with the coefficients that minimize the relative error; none is negative.

    Squared errors first, then reweighted towards absolute ones: an operator timed while the machine was busy, or one of
    another kind, must not spoil its row.
    """
    row = Row(*key, tile=tile, microseconds={}, measured=len(items))
    amounts = np.array([row.amounts(item.case.work) for item in items])
    times = np.array([item.microseconds for item in items])
    relative, weights = amounts / times[:, None], np.ones(len(items))
    found = nonnegative(relative, weights)
    for _ in range(_REWEIGHTED):
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ found - 1), _NOISE))
        found = nonnegative(relative * weights[:, None], weights)
    terms = {name: float(f"{value:.{_DIGITS}g}") for name, value in zip(TERMS, found, strict=True)}
    error = float(np.abs(amounts @ np.array(list(terms.values())) / times - 1).mean())
    return replace(row, microseconds=terms, error=round(error, 3))


def nonnegative(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """X >= 0 that minimizes |matrix x - right|: the best of the unrestricted solutions on all sets of columns."""
    columns = matrix.shape[1]
    best, least = np.zeros(columns), np.inf
    for count in range(1, columns + 1):
        for chosen in combinations(range(columns), count):
            picked = list(chosen)
            found = np.linalg.lstsq(matrix[:, picked], right, rcond=None)[0]
            left = float(np.sum((matrix[:, picked] @ found - right) ** 2))
            if (found >= 0).all() and left < least - 1e-12:
                best, least = np.zeros(columns), left
                best[picked] = found
    return best
