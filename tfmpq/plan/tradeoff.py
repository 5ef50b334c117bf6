"""One knapsack over bytes, predicted loss and predicted latency: points and form of every layer at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

_HALVINGS = 36  # of the logarithm of a price over its 24 decades: to 1e-9 of it
_DECADES = 12.0
# Part of the budget, and bytes: less does not pay for the operators that may come with it.
_WORTH_FILLING, _LEAST_BYTES = 0.02, 1000.0


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows in the order in which they are served.

    Attributes:
        order: (n,) row that gets its next point in each step; a row's second point comes before its third.
        gains: (n,) predicted fall of the network's loss in each step.
    """

    order: np.ndarray
    gains: np.ndarray

    @classmethod
    def of(cls, gains: np.ndarray, order: np.ndarray | None) -> Ranking:
        """Every level of (C, levels) gains in turn, its rows in the order given or by falling gain."""
        levels = gains.shape[1]
        ranked = [np.argsort(-gains[:, n], kind="stable") if order is None else order for n in range(levels)]
        rows = np.concatenate([np.zeros(0, np.int64), *ranked])
        return cls(rows, np.concatenate([np.zeros(0), *(gains[rows, n] for n, rows in enumerate(ranked))]))


@dataclass(frozen=True)
class Option:
    """One way to write a layer, as the trade-off sees it.

    Attributes:
        name: of the form.
        time: (n + 1,) predicted microseconds after 0..n steps; inf where the form cannot be written.
        beyond: taken only where the budgets cannot both be kept without it; its points are then not counted, as the
            bytes are spent for speed.
        ranking: the rows and their gains where it serves them in another order than the layer's; None: the layer's.
    """

    name: str
    time: np.ndarray
    beyond: bool = False
    ranking: Ranking | None = None


@dataclass(frozen=True)
class LayerChoice:
    """What there is to choose for one layer.

    Attributes:
        name: layer name.
        order: (n,) row that gets its next point in each step; a row's second point comes before its third.
        gains: (n,) predicted fall of the network's loss in each step.
        cost: bytes a further point adds to a row.
        forms: at least one, the preferred first: it wins ties.
    """

    name: str
    order: np.ndarray
    gains: np.ndarray
    cost: float
    forms: tuple[Option, ...]


@dataclass(frozen=True)
class Choice:
    """What was chosen for one layer: its form, the number of steps taken, and their order if it is not the layer's."""

    form: str
    steps: int
    ranking: Ranking | None = None


@dataclass(frozen=True)
class Tradeoff:
    """What was chosen.

    Attributes:
        layers: layer name -> choice.
        bytes: bytes of further points that were counted.
        time: predicted microseconds of the layers.
    """

    layers: dict[str, Choice]
    bytes: float
    time: float


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
    if found.time > max_time - spent and within != open_ones:
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
    curves = _Curves.of(choices)

    def at(time_price: float) -> _Taken:
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
        gain = _served(choice, option)[taken + 1 :][:most] - _served(choice, now)[taken]
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


def _served(choice: LayerChoice, option: Option) -> np.ndarray:
    """(n + 1,) predicted fall of the network's loss after 0..n steps."""
    return np.concatenate([[0.0], np.cumsum(choice.gains if option.ranking is None else option.ranking.gains)])


def _largest_slope(choices: Sequence[LayerChoice]) -> float:
    slopes = [float(c.gains.max(initial=0.0)) / c.cost for c in choices]
    return max(slopes, default=0.0) or 1.0


def _cheapest(solve: Callable[[float], _Taken], fits: Callable[[_Taken], bool]) -> _Taken:
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


@dataclass(frozen=True, eq=False)
class _Taken:
    """What prices buy: an entry of :class:`_Curves` for each layer, the bytes that count, and microseconds."""

    entries: np.ndarray
    bytes: float
    time: float


@dataclass(frozen=True, eq=False)
class _Curves:
    """What there is to weigh of all forms of all layers, made once for all prices: one entry a form and step.

    Attributes:
        choices: the layers.
        starts: (layers,) first entry of each.
        layer: (n,) of which layer an entry is.
        form: (n,) of which form of its layer an entry is.
        steps: (n,) taken.
        cost: (n,) bytes of a step.
        served: (n,) predicted fall of the loss, -inf where the form cannot be written.
        microseconds: (n,), inf there.
        time: (n,) the same, 0 there.
        beyond: (n,) whether its bytes are not counted.
    """

    choices: Sequence[LayerChoice]
    starts: np.ndarray
    layer: np.ndarray
    form: np.ndarray
    steps: np.ndarray
    cost: np.ndarray
    served: np.ndarray
    microseconds: np.ndarray
    time: np.ndarray
    beyond: np.ndarray

    @classmethod
    def of(cls, choices: Sequence[LayerChoice]) -> _Curves:
        """Of layers."""
        options = [(choice, number, option) for choice in choices for number, option in enumerate(choice.forms)]
        lengths = [len(choice.gains) + 1 for choice, _, _ in options]
        each = [len(choice.forms) * (len(choice.gains) + 1) for choice in choices]
        time = _joined([option.time for _, _, option in options])
        served = _joined([_served(choice, option) for choice, _, option in options])
        possible = np.isfinite(time)
        return cls(
            choices,
            np.cumsum([0, *each[:-1]]),
            np.repeat(np.arange(len(choices)), each),
            np.repeat([number for _, number, _ in options], lengths),
            _joined([np.arange(length) for length in lengths]),
            np.repeat([choice.cost for choice, _, _ in options], lengths),
            np.where(possible, served, -np.inf),
            time,
            np.where(possible, time, 0.0),
            np.repeat([option.beyond for _, _, option in options], lengths),
        )

    def take(self, byte_price: float, time_price: float, highest_price: float) -> _Taken:
        """The entry of each layer that is worth most at these prices, the first of equals."""
        if not self.choices:
            return _Taken(np.zeros(0, np.int64), 0.0, 0.0)
        # At the highest price a row ever pays, bytes beyond the budget are never bought for their gain.
        price = np.where(self.beyond, highest_price, byte_price)
        value = self.served - price * self.cost * self.steps - time_price * self.time
        most = np.maximum.reduceat(value, self.starts)
        reached = np.flatnonzero(value == most[self.layer])
        best = reached[np.searchsorted(reached, self.starts)]
        # Summed one after the other, so that layers without a say change nothing.
        spent = np.cumsum(np.where(self.beyond[best], 0.0, self.cost[best] * self.steps[best]))
        return _Taken(best, float(spent[-1]), float(np.cumsum(self.microseconds[best])[-1]))

    def tradeoff(self, taken: _Taken) -> Tradeoff:
        """What was taken, in words."""
        layers = {}
        for choice, entry in zip(self.choices, taken.entries, strict=True):
            option = choice.forms[self.form[entry]]
            layers[choice.name] = Choice(option.name, int(self.steps[entry]), option.ranking)
        return Tradeoff(layers, taken.bytes, taken.time)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *parts])
