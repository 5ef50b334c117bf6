"""One knapsack over bytes, predicted loss and predicted latency: points and form of every layer at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfmpq.plan.curves import Curves, Taken
from tfmpq.plan.layer_choice import Choice, LayerChoice, Option, Tradeoff, served

_HALVINGS = 36  # of the logarithm of a price over its 24 decades: to 1e-9 of it
_DECADES = 12.0
# Part of the budget, and bytes: less does not pay for the operators that may come with it.
_WORTH_FILLING, _LEAST_BYTES = 0.02, 1000.0


def trade(choices: Sequence[LayerChoice], max_bytes: float, max_time: float) -> Tradeoff:
    """Forms and points that lower the predicted loss most within a budget of bytes and of time.

    Lagrangian: every layer by itself takes the form and the number of steps that are best at a common price of a byte
    and of a microsecond; the prices are then found by bisection. That is optimal up to the steps at which the budgets
    run out. A concatenation costs time once, whatever the number of rows it serves, so a layer whose few second points
    do not pay for it gets none, and one whose rows nearly all want one is better off with points in all.

    Args:
        choices: layers with something to choose.
        max_bytes: budget of further points.
        max_time: budget in microseconds; where even the fastest forms need more, they are taken.

    Returns:
        The choice; ties go to the form named first and to fewer steps, so it is deterministic.
    """
    settled = [c for c in choices if len(c.forms) == 1 and not len(c.gains)]
    layers = {c.name: Choice(c.forms[0].name, 0) for c in settled}
    spent = sum(float(c.forms[0].time[0]) for c in settled)
    open_ones = [c for c in choices if c.name not in layers]
    within = [replace(c, forms=_counted(c.forms)) for c in open_ones]
    found = _trade(within, max_bytes, max_time - spent)
    # Not by ==: from Python 3.13 on that asks arrays for their truth, the very same ones too.
    fewer = any(len(some.forms) < len(c.forms) for some, c in zip(within, open_ones, strict=True))
    if found.time > max_time - spent and fewer:
        within, found = open_ones, _trade(open_ones, max_bytes, max_time - spent)
    found = _filled(within, found, max_bytes, max_time - spent)
    return Tradeoff({**layers, **found.layers}, found.bytes, found.time + spent)


def _counted(forms: tuple[Option, ...]) -> tuple[Option, ...]:
    """The forms whose points count; all of them where none of these is possible, as with points given beforehand."""
    return tuple(f for f in forms if not f.beyond and np.isfinite(f.time).any()) or forms


def _trade(choices: Sequence[LayerChoice], max_bytes: float, max_time: float) -> Tradeoff:
    unit = _largest_slope(choices)  # loss a byte
    times = sum(max(float(f.time[np.isfinite(f.time)].max(initial=0.0)) for f in c.forms) for c in choices)
    points = sum(c.cost * len(c.gains) for c in choices)
    smallest = min((c.cost for c in choices), default=1.0)
    curves = Curves.of(choices)

    def at(time_price: float) -> Taken:
        """The best within ``max_bytes`` at a price of time."""
        most = unit + time_price * times / smallest  # no row is worth more than that a byte
        return _cheapest(lambda price: curves.take(price * most, time_price, unit), lambda t: t.bytes <= max_bytes)

    free = at(0.0)
    if free.time <= max_time:
        return curves.tradeoff(free)
    per_time = unit * (points + 1.0) / (times or 1.0)  # as much as everything is worth, for all the time there is
    return curves.tradeoff(_cheapest(lambda price: at(price * per_time), lambda t: t.time <= max_time))


def _filled(choices: Sequence[LayerChoice], found: Tradeoff, max_bytes: float, max_time: float) -> Tradeoff:
    """Spends what the prices leave: rows in a given order may gain so evenly that a price takes all of them or none."""
    # Where even the fastest forms take too long, the prices have bought nothing: these are not the last few bytes.
    least = max(_WORTH_FILLING * max_bytes, _LEAST_BYTES if found.time <= max_time else 0.0)
    while True:
        # Where even the fastest forms need more time than there is, points that take none are still worth their bytes.
        left, slack = max_bytes - found.bytes, max(max_time - found.time, 0.0)
        further = [_further(c, found.layers[c.name], left, slack, least) for c in choices]
        gain, best = max(((f.gain, i) for i, f in enumerate(further) if f is not None), default=(0.0, -1))
        more = further[best] if best >= 0 else None
        if more is None or gain <= 0:
            return found
        layers = {**found.layers, choices[best].name: more.choice}
        found = Tradeoff(layers, found.bytes + more.bytes, found.time + more.time)


@dataclass(frozen=True)
class _Further:
    """More steps of one layer: their gain a byte, and what they take."""

    choice: Choice
    gain: float
    bytes: float
    time: float


def _further(choice: LayerChoice, chosen: Choice, left: float, slack: float, least: float) -> _Further | None:
    """The steps that gain most within ``left`` bytes and ``slack`` microseconds; None where there are none of use."""
    now = next(f for f in choice.forms if (f.name, f.ranking) == (chosen.form, chosen.ranking))
    taken, most = chosen.steps, int(left // choice.cost)
    if now.beyond:
        return None
    best: _Further | None = None
    for option in choice.forms:
        time = option.time[taken + 1 :][:most] - now.time[taken]
        gain = served(choice, option)[taken + 1 :][:most] - served(choice, now)[taken]
        gain = np.where(time <= slack, gain, -np.inf)
        if option.beyond or not len(gain):
            continue
        steps = int(np.argmax(gain)) + 1
        spent = steps * choice.cost
        each = float(gain[steps - 1]) / spent
        if spent >= least and (best is None or each * spent > best.gain * best.bytes):
            further = Choice(option.name, taken + steps, option.ranking)
            best = _Further(further, each, spent, float(time[steps - 1]))
    return best


def _largest_slope(choices: Sequence[LayerChoice]) -> float:
    slopes = [float(c.gains.max(initial=0.0)) / c.cost for c in choices]
    return max(slopes, default=0.0) or 1.0


def _cheapest(solve: Callable[[float], Taken], fits: Callable[[Taken], bool]) -> Taken:
    """The solution at the lowest price (in units of 1) at which it fits; at the highest where it never does."""
    low, high = -_DECADES, _DECADES
    best = solve(10.0**low)
    if fits(best):
        return best
    best = solve(10.0**high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = solve(10.0**middle)
        if fits(found):
            best, high = found, middle
        else:
            low = middle
    return best
