"""All forms of all layers weighed at once: what is best for each at a price of a byte and of a microsecond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfmpq.plan.layer_choice import Choice, LayerChoice, Tradeoff, served


@dataclass(frozen=True, eq=False)
class Taken:
    """What prices buy: an entry of :class:`Curves` for each layer, the bytes that count, and microseconds."""

    entries: np.ndarray
    bytes: float
    time: float


@dataclass(frozen=True, eq=False)
class Curves:
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
        extra: (n,) bytes that are paid for whatever the steps, see :class:`Option`.
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
    extra: np.ndarray

    @classmethod
    def of(cls, choices: Sequence[LayerChoice]) -> Curves:
        """Of layers."""
        options = [(choice, number, option) for choice in choices for number, option in enumerate(choice.forms)]
        lengths = [len(choice.gains) + 1 for choice, _, _ in options]
        each = [len(choice.forms) * (len(choice.gains) + 1) for choice in choices]
        time = _joined([option.time for _, _, option in options])
        falls = _joined([served(choice, option) for choice, _, option in options])
        possible = np.isfinite(time)
        return cls(
            choices,
            np.cumsum([0, *each[:-1]]),
            np.repeat(np.arange(len(choices)), each),
            np.repeat([number for _, number, _ in options], lengths),
            _joined([np.arange(length) for length in lengths]),
            np.repeat([choice.cost for choice, _, _ in options], lengths),
            np.where(possible, falls, -np.inf),
            time,
            np.where(possible, time, 0.0),
            np.repeat([option.beyond for _, _, option in options], lengths),
            np.repeat([option.bytes for _, _, option in options], lengths),
        )

    def take(self, byte_price: float, time_price: float, highest_price: float) -> Taken:
        """The entry of each layer that is worth most at these prices, the first of equals."""
        if not self.choices:
            return Taken(np.zeros(0, np.int64), 0.0, 0.0)
        # At the highest price a row ever pays, bytes beyond the budget are never bought for their gain.
        price = np.where(self.beyond, highest_price, byte_price)
        value = self.served - price * (self.cost * self.steps + self.extra) - time_price * self.time
        most = np.maximum.reduceat(value, self.starts)
        reached = np.flatnonzero(value == most[self.layer])
        best = reached[np.searchsorted(reached, self.starts)]
        # Summed one after the other, so that layers without a say change nothing.
        spent = np.cumsum(np.where(self.beyond[best], 0.0, self.cost[best] * self.steps[best]))
        return Taken(best, float(spent[-1]), float(np.cumsum(self.microseconds[best])[-1]))

    def tradeoff(self, taken: Taken) -> Tradeoff:
        """What was taken, in words."""
        layers = {}
        for choice, entry in zip(self.choices, taken.entries, strict=True):
            option = choice.forms[self.form[entry]]
            layers[choice.name] = Choice(option.name, int(self.steps[entry]), option.ranking)
        return Tradeoff(layers, taken.bytes, taken.time)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *parts])
