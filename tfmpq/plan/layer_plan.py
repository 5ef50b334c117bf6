"""The plan: what was decided for every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Planned


@dataclass(frozen=True)
class Fallback:
    """A layer that could not be written as asked."""

    layer: str
    asked: str
    used: str
    reason: str


@dataclass(frozen=True)
class LayerPlan:
    """Decisions for one layer.

    Attributes:
        settings: bits, algorithm, lowering asked for.
        counts: int (C,), points of every channel in the model's own channel order.
    """

    settings: LayerSettings
    counts: np.ndarray

    def histogram(self) -> dict[int, int]:
        """Number of channels by number of points."""
        values, counts = np.unique(self.counts, return_counts=True)
        return {int(v): int(n) for v, n in zip(values, counts, strict=True)}


@dataclass(frozen=True)
class Plan:
    """Layer name -> decisions. Layers kept as stock int8 are not in it."""

    layers: Mapping[str, LayerPlan]

    @classmethod
    def of(cls, planned: Sequence[Planned]) -> Plan:
        """What was decided for these layers."""
        return cls({p.name: LayerPlan(replace(p.settings, lowering=p.lowering), p.counts) for p in planned})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, points per channel included."""
        return {
            name: {
                "bits": p.settings.bits,
                "algorithm": p.settings.algorithm,
                "lowering": p.settings.lowering,
                "points": p.counts.tolist(),
            }
            for name, p in self.layers.items()
        }
