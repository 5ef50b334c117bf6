"""What a form costs, as reports tell it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoweringCost:
    """What a lowering of all layers would make of the same points.

    Attributes:
        lowering: its name; ``"as written"``: the file at hand.
        bytes: size of the file (for the others: about).
        latency_ratio: predicted latency relative to stock int8.
        times: the target whose times these are, where the file's own has none; empty: its own.
    """

    lowering: str
    bytes: int
    latency_ratio: float
    times: str = ""

    @property
    def predicted(self) -> str:
        """``1.02 x stock's time``, and whose times these are."""
        return f"{self.latency_ratio:.2f} x stock's time" + (f" by {self.times}'s times" if self.times else "")
