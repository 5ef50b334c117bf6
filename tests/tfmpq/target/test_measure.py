"""Tables measured on this machine."""

from __future__ import annotations

import pytest

from converters.errors import FileFormatError
from converters.runtime.interpreter import Kernels
from converters.targets import concat_work, dense_work, load_target
from tests.support.small_targets import even_clock, tiny_grid
from tfmpq.target.measure import describe, find_limits, measure_target
from tfmpq.target.operators import plain

KERNELS: tuple[Kernels, ...] = ("xnnpack", "builtin")


@pytest.mark.parametrize("kernels", KERNELS)
def test_measuring_end_to_end(kernels: Kernels):
    target = measure_target("mine", kernels, tiny_grid(), passes=1, rounds=1, clock=even_clock())
    assert (target.name, target.kernels, target.partition) == ("mine", kernels, 0)
    assert {row.delegated for row in target.rows} == ({True, False} if kernels == "xnnpack" else {False})
    assert target.supports("CONV_2D", "INT4")
    assert target.measured["runtime"].split()[0] in ("ai-edge-litert", "tflite-runtime", "tensorflow")
    assert target.measured["operators"] == len(tiny_grid())
    assert target.measured["command"] == f"tfmpq target --target {kernels} --output mine.json --passes 1"
    # A run takes as long without any operator, so that all is left to the smallest time there is.
    assert target.microseconds(dense_work(positions=4, columns=4, rows=4, weights="INT8")) == pytest.approx(0.01)
    table = describe(target)
    assert "FULLY_CONNECTED INT4 INT8 1x1" in table
    assert "operators, mean error 0.0 %" in table


def test_too_few_operators_make_no_table():
    with pytest.raises(FileFormatError, match=r"the table of .* on this machine is no cost table"):
        measure_target("poor", "builtin", [plain("ADD", 4, 8)], passes=1, clock=even_clock())


@pytest.mark.parametrize("kernels", KERNELS)
def test_limits_as_the_runtime_has_them(kernels: Kernels):
    target = load_target(kernels)
    assert target.limits == find_limits(kernels)
    five, six = (concat_work(positions=4, channels=12, inputs=n) for n in (5, 6))
    odd = dense_work(positions=4, columns=5, rows=4, weights="INT4")
    single = dense_work(positions=4, columns=6, rows=1, weights="INT4")
    even = dense_work(positions=4, columns=6, rows=2, weights="INT4")
    expected = [True, False, False, False, True] if kernels == "xnnpack" else [False] * 5
    assert [target.delegated(work) for work in (five, six, odd, single, even)] == expected
    if kernels == "xnnpack":
        assert not target.row(six).delegated
        slow, fast = (
            target.microseconds(dense_work(positions=196, columns=n, rows=144, weights="INT4")) for n in (95, 96)
        )
        assert slow > 2 * fast  # left to the built-in kernel
