"""What there is to choose for each layer, and what was chosen: the terms of :mod:`tfmpq.plan.tradeoff`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
        bytes: that a form beyond takes where there are no steps to charge them to: its rows are int8 for speed alone.
    """

    name: str
    time: np.ndarray
    beyond: bool = False
    ranking: Ranking | None = None
    bytes: float = 0.0


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


def served(choice: LayerChoice, option: Option) -> np.ndarray:
    """(n + 1,) predicted fall of the network's loss after 0..n steps."""
    return np.concatenate([[0.0], np.cumsum(choice.gains if option.ranking is None else option.ranking.gains)])
