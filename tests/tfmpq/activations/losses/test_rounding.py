from __future__ import annotations

import numpy as np
import pytest

from tests.support.op_models import activation
from tfmpq.activations.losses.rounding import Grid, Values, beside_mask, cure_of, figures, some_rows, within

RNG = np.random.default_rng(0)
GRID = Grid(0.1, -128, 127)


def seen(rows: np.ndarray, counts: np.ndarray | None = None) -> Values:
    return Values(rows, np.ones(rows.shape[1]) if counts is None else counts, beside_mask(rows, GRID.step))


def cure(rows: np.ndarray, grid: Grid = GRID, *, output: bool = False, **options) -> tuple:
    values = Values(rows, np.ones(rows.shape[1]), beside_mask(rows, grid.step))
    own, by_channel, _ = figures(values, grid)
    return cure_of(values, own, by_channel, output=output, excluded=options.get("excluded", ()))


def spread(low: float, high: float, *channels: float) -> tuple[np.ndarray, Grid]:
    """Normal values, channels of these deviations, and the grid that covers low..high."""
    rows = RNG.normal(size=(500, len(channels))) * channels
    step = (high - low) / 255
    return np.clip(rows, low, high), Grid(step, round(low / step), round(low / step) + 255)


def test_a_grid_is_that_of_the_integers():
    grid = Grid.of(activation("x", (1, 4), 0.5, -28))
    assert grid == Grid(0.5, -100, 155)
    assert grid is not None
    assert grid.rounded(np.array([-60.0, 0.2, 0.3, 99.0])).tolist() == [-50.0, 0.0, 0.5, 77.5]


def test_figures_are_variance_to_rounding_error_by_channel():
    rows = RNG.normal(size=(200, 3)) * [3.0, 0.5, 0.01] + [4.0, 0.0, 0.0]
    counts = np.array([1.0, 4.0, 100.0])
    own, by_channel, lost = figures(Values(rows, counts), GRID)
    held = np.clip(np.round(rows / 0.1), -128, 127) * 0.1
    expected = 10 * np.log10((rows.var(axis=0) * counts).sum() / (((held - rows) ** 2).mean(axis=0) * counts).sum())
    assert own == pytest.approx(expected, abs=1e-9)
    assert lost == sum(np.unique(held[:, c]).size == 1 for c in range(3))
    assert lost == 1
    assert by_channel > own + 10  # the small channel counts most


def test_a_constant_is_no_signal():
    rows = RNG.normal(size=(200, 1))
    assert figures(seen(rows + 5), GRID)[0] == pytest.approx(
        figures(seen(rows), GRID)[0], abs=0.5
    )  # rounding by chance


def test_cures():
    even, grid = spread(-5, 5, 1, 1, 1)
    assert cure(even, grid) == ("none", None)
    uneven, grid = spread(-400, 400, 100, 1, 1, 1)
    uneven[:, 1:] *= 3
    important = Values(uneven, np.array([1e-4, 1, 1, 1]))
    own, by_channel, _ = figures(important, grid)
    assert own < 20 < by_channel
    assert cure_of(important, own, by_channel, output=False, excluded=["range"]) == ("equalize", None)
    assert cure_of(important, own, by_channel, output=True, excluded=()) == ("outputs", None)
    assert cure_of(important, own, by_channel, output=False, excluded=["equalize", "range"]) == ("two points", None)
    wide, grid = spread(-500, 500, 2, 2, 2)
    wide[0, 0], wide[1, 1], wide[2, 2] = 8.0, -8.0, 8.0
    found, span = cure(wide, grid)  # the range is far beyond the values: half of it is enough, and less
    assert found == "range"
    assert -500 < span[0] < -0.4
    assert span[1] < 500


def test_masked_values_are_told_from_the_others():
    rows = RNG.normal(size=(64, 8))
    masked = np.where(RNG.random(rows.shape) < 0.4, -1e9, rows)
    bulk = beside_mask(masked, 1e9 / 255)
    assert bulk is not None
    assert (bulk == (masked > -1e9)).all()
    grid = Grid(1e9 / 255, -255, 0)
    values = Values(masked, np.ones(8), bulk)
    own, _, _ = figures(values, grid)
    assert own < 1  # of what is not masked nothing is left
    assert beside_mask(rows, 0.05) is None
    assert beside_mask(np.where(masked < -1, -30, masked), 30 / 255) is None  # the small mask does no harm


def test_what_a_range_leaves_out():
    rows = np.array([[-30.0, -4.0], [2.0, 3.0]])
    assert np.array(within(rows, Grid(1.0, -5, 3))).tolist() == [[False, True], [True, True]]
    assert within(rows, Grid(1.0, -30, 3)) is None


def test_a_mean_may_be_signal():
    values = Values(300 + RNG.normal(size=(100, 2)) / 10, np.ones(2))
    held = np.rint(values.rows)
    assert values.decibels(held) < 5
    assert values.with_mean(held) == pytest.approx(10 * np.log10(300**2 / ((held - values.rows) ** 2).mean()), abs=0.1)


def test_rows_are_evenly_spaced_and_bounded():
    value = np.arange(100_000 * 4, dtype=np.float32).reshape(1, 1000, 100, 4)
    rows = some_rows(value)
    assert 1000 <= len(rows) <= 4096
    assert rows[0, 0] == 0
    assert np.unique(np.diff(rows[:, 0])).size == 1
    assert some_rows(np.array([[1, 2]], np.float32)).tolist() == [[1, 2]]
