"""What the report says of the search for the smallest file that is like stock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tfmpq.measure.likeness import Measure
from tfmpq.plan.choice import Chooser
from tfmpq.plan.like_stock import Likeness, Trial
from tfmpq.plan.lowering_cost import form_bytes
from tfmpq.plan.unspent import explain_unspent
from tfmpq.recipe.budgets import ExtraBits
from tfmpq.stages import Planned
from tfmpq.text import plural, quantity

_WORDS: dict[Measure, str] = {"predictions": "of predictions change", "variance": "of the output's variance is error"}
_MOST_SAMPLES = 256  # of which every eighth serves, up to 32


@dataclass(frozen=True)
class BudgetFigures:
    """What a budget costs and loses.

    Attributes:
        share: bytes of further points / bytes of first points in layers below 8 bits.
        bytes: size of its file; of one that was not written, about.
        latency_ratio: predicted latency relative to stock's.
        expected: percentage points that its file is away from the float model, predicted.
        measured: the same, measured; None: its file was not run.
    """

    share: float
    bytes: int
    latency_ratio: float
    expected: float
    measured: float | None


@dataclass(frozen=True)
class LikeStockFigures:
    """The file beside stock, by the output that is worst off.

    Attributes:
        measure: what percentage points are of.
        output: number of that output.
        outputs: how many were compared.
        file, stock, eight_bits: how far these files are from the float model, in percentage points.
        margin: that were allowed beyond stock, or beyond 8-bit rows where these are further.
        error: standard error of the difference, from differences sample by sample.
        samples: that files were run on.
        fitted: whether they are those of the fit.
        reached: whether the file is within the margin, by a standard error.
        chosen: the budget that was taken.
        budgets: by share.
        hindrance: why the margin was not reached; None where it was.
    """

    measure: Measure
    output: int
    outputs: int
    file: float
    stock: float
    eight_bits: float
    margin: float
    error: float
    samples: int
    fitted: bool
    reached: bool
    chosen: float
    budgets: tuple[BudgetFigures, ...]
    hindrance: str | None

    def entries(self, stock_name: str) -> Iterator[tuple[str, str]]:
        """What there is to read."""
        words = _WORDS[self.measure]
        which = f"output {self.output}: " if self.outputs > 1 else ""
        against = "8-bit rows" if self.eight_bits > self.stock else stock_name
        difference = self.file - max(self.stock, self.eight_bits)
        text = (
            f"{which}{self.file:.2f} % {words}; {stock_name}: {self.stock:.2f} %; 8-bit rows: {self.eight_bits:.2f} %"
        )
        yield "like stock", text
        found = "within" if self.reached else "not surely within" if difference <= self.margin else "beyond"
        error = f" +- {self.error:.2f}" if math.isfinite(self.error) else ""
        yield (
            "",
            f"{difference:+.2f}{error} points to {against}: {found} the margin of {self.margin:g}; on "
            f"{plural(self.samples, 'sample')} {'of the fit' if self.fitted else 'that points were chosen by'}",
        )
        if self.hindrance is not None:
            yield "", self.hindrance
        elif self.error > self.margin:
            yield "", f"so large an error costs bytes; up to {_MOST_SAMPLES} calibration samples are made use of"
        lines = [self._line(budget) for budget in self.budgets]
        yield "budgets", "\n".join(lines)

    def _line(self, budget: BudgetFigures) -> str:
        known = budget.measured is not None
        size = f"{'' if known else '~'}{quantity(budget.bytes, 'B')}"
        lost = f"{budget.expected:.2f} % predicted" if budget.measured is None else f"{budget.measured:.2f} % measured"
        taken = " (taken)" if budget.share == self.chosen else ""
        share = f"+{100 * budget.share:.3g} %"
        return f"{share:<7} {size}, {budget.latency_ratio:.2f} x stock's time, {lost}{taken}"


def like_stock_figures(likeness: Likeness, chooser: Chooser) -> LikeStockFigures:
    """The figures of a search.

    Args:
        likeness: what it found.
        chooser: of the layers.
    """
    judge, chosen = likeness.judge, likeness.chosen
    assert chosen.ran is not None
    noise = chosen.ran.noise.mean(axis=0)
    worst = int((judge.over(noise) - judge.margins).argmax())
    part = judge.yardstick.parts[worst]

    def points(mean: np.ndarray) -> float:
        return float(judge.yardstick.distance(mean)[worst])

    def figures(trial: Trial) -> BudgetFigures:
        measured = None if trial.ran is None else points(trial.ran.noise.mean(axis=0))
        size = _bytes(trial.plan, chosen, chooser) if trial.ran is None else trial.ran.bytes
        return BudgetFigures(trial.share, size, chooser.ratio(trial.plan), points(likeness.expected(trial)), measured)

    return LikeStockFigures(
        part.measure,
        part.output,
        len({x.output for x in judge.yardstick.parts}),
        points(noise),
        points(judge.yardstick.stock.mean(axis=0)),
        points(judge.eight_bits.mean(axis=0)),
        float(judge.margins[worst]),
        chosen.error,
        len(chosen.ran.noise),
        likeness.fitted,
        chosen.good,
        chosen.share,
        tuple(figures(trial) for trial in likeness.trials),
        None if chosen.good else _hindrance(likeness, chooser),
    )


def _bytes(plan: Sequence[Planned], chosen: Trial, chooser: Chooser) -> int:
    """About the size of a file that was not written."""
    assert chosen.ran is not None
    known, own = (form_bytes(x, chooser.target) for x in (chosen.plan, plan))
    return round(chosen.ran.bytes + own - known)


def _hindrance(likeness: Likeness, chooser: Chooser) -> str:
    """Why no file was found that is surely close enough."""
    chosen = likeness.chosen
    if chosen.beyond <= 0:
        return f"these samples cannot tell it for sure; up to {_MOST_SAMPLES} calibration samples are made use of"
    fullest = likeness.trials[-1]
    unspent = explain_unspent(fullest.plan, ExtraBits(min(fullest.share, 3.0)), chooser, file_bytes=lambda: 0)
    if unspent is not None:
        return f"further points do not reach it: {unspent.reason}"
    if chosen.share < fullest.share:
        return "more points bring nothing that could be measured, or a file larger than stock's"
    return "all rows have all their points"
