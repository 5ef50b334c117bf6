"""The smallest file that is about as close to the float model as the stock int8 file.

Which budgets come into question is read from the predicted cost; files of two or three of them are then run, with
their integer activations, on samples that weights were not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from tfmpq.measure.likeness import Yardstick
from tfmpq.plan.choice import Choose
from tfmpq.stages import Planned

KNOWN_SHARES = (0.0, 0.05, 0.10, 0.20)  # of the bytes of first points: what the report tells of, whatever is chosen
FEWEST = 0.10  # at least so much where the samples that files are run on are those of the fit
_CURVE = (0.4, 0.7)  # further budgets of which the cost is predicted
_STEPS = 200  # budgets are multiples of 1/200: finer ones differ less than the measurement
_WORTH_A_RUN = 0.02  # smaller differences between budgets are not tried
_MOST_RUNS = 4
_AROUND, _TINY = 0.2, 1e-30

Run = Callable[[list[Planned]], "Ran"]


@dataclass(frozen=True, eq=False)
class Ran:
    """A file that was run.

    Attributes:
        noise: (samples, parts), see :meth:`Yardstick.noise`.
        bytes: its size.
    """

    noise: np.ndarray
    bytes: int


@dataclass(frozen=True, eq=False)
class Judge:
    """Says how much further from the float model a file is than the stock file.

    Attributes:
        yardstick: the float model's outputs, and the stock file's distance from them.
        eight_bits: noise of the file with 8-bit rows, as :class:`Ran` has it. Where that is further from the float
            model than the stock file, activations lose it, which no points bring back: then it is what files are held
            against.
        margin: percentage points that are allowed; None: each part's own.
    """

    yardstick: Yardstick
    eight_bits: np.ndarray
    margin: float | None

    @cached_property
    def margins(self) -> np.ndarray:
        """(parts,) percentage points that are allowed."""
        return np.array([part.margin if self.margin is None else self.margin for part in self.yardstick.parts])

    @cached_property
    def held_against(self) -> np.ndarray:
        """(samples, parts) noise that files are held against."""
        stock, eight = (
            self.yardstick.distance(noise.mean(axis=0)) for noise in (self.yardstick.stock, self.eight_bits)
        )
        return np.where(eight > stock, self.eight_bits, self.yardstick.stock)

    def over(self, noise: np.ndarray) -> np.ndarray:
        """(parts,) percentage points by which a file is further from float than what it is held against, at most so.

        Args:
            noise: (parts,), mean over the samples.
        """
        return self.yardstick.distance(noise) - self._allowed

    @cached_property
    def _allowed(self) -> np.ndarray:
        return self.yardstick.distance(self.held_against.mean(axis=0))

    def beyond(self, noise: np.ndarray) -> float:
        """Percentage points by which a file of such a noise, (parts,), is too far, of the part that is worst."""
        return float((self.over(noise) - self.margins).max())

    def error(self, noise: np.ndarray) -> float:
        """Standard error of :meth:`beyond` for a file's noise, (samples, parts); infinite for one sample."""
        if len(noise) < 2:
            return math.inf
        worst = int((self.over(noise.mean(axis=0)) - self.margins).argmax())
        pairs = [self._slopes(x.mean(axis=0))[worst] * x[:, worst] for x in (noise, self.held_against)]
        return float(np.std(pairs[0] - pairs[1], ddof=1)) / math.sqrt(len(noise))

    def _slopes(self, noise: np.ndarray) -> np.ndarray:
        """(parts,) percentage points that a unit of noise is worth, around some."""
        less, more = (1 - _AROUND) * noise, (1 + _AROUND) * noise
        rise = self.yardstick.distance(more) - self.yardstick.distance(less)
        return rise / np.maximum(more - less, _TINY)


@dataclass(frozen=True, eq=False)
class Trial:
    """A budget, with what came of it if its file was run.

    Attributes:
        share: bytes of further points / bytes of all first points of layers below 8 bits.
        plan: what was planned with it.
        cost: predicted, of all layers.
        ran: its file.
        beyond: percentage points by which it is too far from the float model.
        error: standard error of that.
    """

    share: float
    plan: list[Planned]
    cost: float
    ran: Ran | None = None
    beyond: float = math.inf
    error: float = math.inf

    @property
    def good(self) -> bool:
        """Whether it is close enough to the float model, by a standard error."""
        return self.beyond + self.error <= 0


@dataclass(frozen=True, eq=False)
class Likeness:
    """How a file was found that is like stock.

    Attributes:
        chosen: the budget that was taken.
        trials: budgets of which anything is known, by share.
        judge: what they were judged by.
        cost_noise: (parts,) noise that a unit of predicted cost brings, and (parts,) noise without any.
        fitted: whether the samples were those of the fit.
    """

    chosen: Trial
    trials: tuple[Trial, ...]
    judge: Judge
    cost_noise: tuple[np.ndarray, np.ndarray]
    fitted: bool

    def expected(self, trial: Trial) -> np.ndarray:
        """(parts,) noise of a budget, predicted."""
        slope, floor = self.cost_noise
        return floor + slope * trial.cost


@dataclass(eq=False)
class _Search:
    """Budgets that were planned or run so far."""

    choose: Choose
    base: float
    run: Run
    judge: Judge
    known: dict[float, Trial] = field(default_factory=dict)

    def plan(self, share: float) -> Trial:
        """A budget with its predicted cost."""
        if share not in self.known:
            plan = self.choose(share * self.base)
            self.known[share] = Trial(share, plan, sum(layer.remaining_cost(layer.counts) for layer in plan))
        return self.known[share]

    def tried(self, share: float) -> Trial:
        """A budget with its file run."""
        trial = self.plan(share)
        if trial.ran is None:
            ran = self._same(trial.plan) or self.run(trial.plan)
            trial = replace(
                trial, ran=ran, beyond=self.judge.beyond(ran.noise.mean(axis=0)), error=self.judge.error(ran.noise)
            )
            self.known[share] = trial
        return trial

    def _same(self, plan: list[Planned]) -> Ran | None:
        """The file of the same points, where more bytes have bought none."""
        ran = (trial for trial in self.known.values() if trial.ran is not None)
        return next((trial.ran for trial in ran if _points(trial.plan) == _points(plan)), None)

    def line(self, *trials: Trial) -> tuple[np.ndarray, np.ndarray]:
        """(slope, floor) of noise over predicted cost: through files that were run, and through that of 8-bit rows."""
        floor = self.judge.eight_bits.mean(axis=0)
        (first, *others) = [(trial.cost, trial.ran.noise.mean(axis=0)) for trial in trials if trial.ran is not None]
        if others and first[0] != others[0][0]:
            slope = np.maximum((first[1] - others[0][1]) / (first[0] - others[0][0]), 0.0)
            return slope, first[1] - slope * first[0]
        slope = np.maximum(first[1] - floor, 0.0) / first[0] if first[0] > 0 else np.zeros_like(floor)
        return slope, first[1] - slope * first[0]

    def cost_at(self, share: float) -> float:
        """Predicted cost of a budget, between those that were planned."""
        shares = sorted(self.known)
        logs = [math.log(max(self.known[s].cost, 1e-300)) for s in shares]
        return math.exp(float(np.interp(share, shares, logs)))

    def smallest(self, line: tuple[np.ndarray, np.ndarray], error: float, low: float, high: float) -> float:
        """The smallest share above ``low`` that is predicted to be close enough; ``high`` where none is."""
        slope, floor = line
        first, last = math.floor(low * _STEPS) + 1, math.ceil(high * _STEPS)
        while first < last:
            middle = (first + last) // 2
            if self.judge.beyond(floor + slope * self.cost_at(middle / _STEPS)) + error <= 0:
                last = middle
            else:
                first = middle + 1
        return min(last / _STEPS, high)


def _points(plan: Sequence[Planned]) -> list[tuple[str, bytes]]:
    return [(layer.lowering, layer.counts.tobytes()) for layer in plan]


def fit_stock(
    choose: Choose, base: float, everything: float, *, run: Run, judge: Judge, most_bytes: int, fitted: bool
) -> Likeness:
    """The smallest budget whose file is close enough, or else the best of those that were run.

    Args:
        choose: bytes of further points -> plan.
        base: bytes of all first points of layers below 8 bits, > 0.
        everything: bytes at which every row has all its points.
        run: plan -> its file, run.
        judge: of files.
        most_bytes: size of the stock file, which none is to exceed; where the smallest does, it is no limit.
        fitted: whether the samples are those of the fit, so that files look better than they are.
    """
    search, full = _Search(choose, base, run, judge), everything / base
    least = min(FEWEST if fitted else 0.0, full)
    best = _good_one(search, least, full)
    for share in KNOWN_SHARES:
        search.plan(min(share, full))
    smallest = search.tried(least)
    assert smallest.ran is not None
    if smallest.ran.bytes <= most_bytes:
        best = _within(search, smallest, best, most_bytes)
    ran = sorted((t for t in search.known.values() if t.ran is not None), key=lambda t: t.share)
    shown = {min(share, full) for share in KNOWN_SHARES}
    known = [trial for _, trial in sorted(search.known.items()) if trial.share in shown or trial.ran is not None]
    return Likeness(best, tuple(known), judge, search.line(ran[0]), fitted)


def _good_one(search: _Search, least: float, full: float) -> Trial:
    low = search.tried(least)
    if low.good or full <= least:
        return low
    for share in (*KNOWN_SHARES, *_CURVE, full):
        search.plan(min(share, full))
    runs, high = 1, None
    while high is None and runs < _MOST_RUNS and low.share < full:
        # Where predictions were too good, the next is taken with more care.
        share = search.smallest(search.line(low), low.error * (1 + (runs - 1) / 2), low.share, full)
        found, runs = search.tried(share), runs + 1
        if found.good:
            high = found
        else:
            low = found
    if high is None:
        last = search.tried(full)
        return last if last.good else _closest(search)
    share = search.smallest(search.line(low, high), high.error, low.share, high.share)
    if high.share - share < _WORTH_A_RUN or runs >= _MOST_RUNS:
        return high
    found = search.tried(share)
    return found if found.good else high


def _closest(search: _Search) -> Trial:
    """Of files none of which is close enough: the smallest that cannot be told from the closest one."""
    ran = sorted((trial for trial in search.known.values() if trial.ran is not None), key=lambda trial: trial.share)
    closest = min(ran, key=lambda trial: trial.beyond)
    return next(trial for trial in ran if trial.beyond <= closest.beyond + _indistinct(closest))


def _indistinct(trial: Trial) -> float:
    return trial.error / 2 if math.isfinite(trial.error) else 0.0


def _within(search: _Search, smallest: Trial, best: Trial, most_bytes: int) -> Trial:
    """The budget, or where its file is too large the largest that is not."""
    assert smallest.ran is not None
    while best.ran is not None and best.ran.bytes > most_bytes:
        room = (most_bytes - smallest.ran.bytes) / (best.ran.bytes - smallest.ran.bytes)
        share = smallest.share + room * (best.share - smallest.share)
        share = max((math.ceil(share * _STEPS) - 1) / _STEPS, smallest.share)
        best = search.tried(share) if share > smallest.share else smallest
    return best
