"""A cost table in seconds: few tiny operators, and a clock by which every run takes as long."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tfmpq.target.models import Case, layer
from tfmpq.target.operators import plain


def even_clock() -> Callable[[], float]:
    """10 microseconds later whenever it is read, so that every run takes these."""
    ticks = itertools.count(1)
    return lambda: next(ticks) * 1e-5


def tiny_grid() -> list[Case]:
    """One or two operators for every row a table must have."""

    def layers(kind: Any, bits: int, *shapes: dict[str, Any]) -> list[Case]:
        return [layer(kind, columns=4, rows=4, bits=bits, **{"size": 4, **shape}) for shape in shapes]

    one, three, halved = {"kernel": 1}, {"kernel": 3}, {"kernel": 3, "stride": 2}
    grid = [*layers("conv", 8, one, three, halved), *layers("conv", 4, three), *layers("depthwise", 8, three, halved)]
    grid += [*layers("transpose_conv", 8, halved), *layers("dense", 8, one, {"size": 0})]
    grid += layers("dense", 4, one, {"size": 0})
    return grid + [plain(name, 4, 8) for name in ("ADD", "CONCATENATION", "GATHER", "SLICE", "NEG")]
