"""What a release may cost beside the file that it replaces."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

from converters.errors import OptionError
from converters.printable import shown


@dataclass(frozen=True)
class Limits:
    """What must hold; None: anything goes.

    Attributes:
        max_drop: how much lower than the base's the score may be: percentage points of top-1; for other metrics in
            their own unit, of perplexity how much higher.
        min_agreement: smallest share of samples with the base's class, 0..1.
        max_kl: largest mean KL divergence of the class probabilities from the base's, nats.
        max_bytes: largest size of the file.
        max_bytes_ratio: largest size relative to the base's.
        max_latency_ratio: largest time of an inference relative to the base's, on this machine.
    """

    max_drop: float | None = None
    min_agreement: float | None = None
    max_kl: float | None = None
    max_bytes: int | None = None
    max_bytes_ratio: float | None = None
    max_latency_ratio: float | None = None

    def __post_init__(self) -> None:
        for name in self.asked():
            _check(name, getattr(self, name))

    def asked(self) -> tuple[str, ...]:
        """Names of the limits that are set."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    @property
    def need_samples(self) -> bool:
        """Whether files must be run on samples to tell."""
        return any(value is not None for value in (self.max_drop, self.min_agreement, self.max_kl))


def _check(name: str, value: Any) -> None:
    hint = {"min_agreement": "a share from 0 to 1 (0.99, not 99)", "max_bytes": "a whole number of bytes, 1 or more"}
    least = 1e-9 if name.endswith("ratio") else 1 if name == "max_bytes" else 0.0
    most = 1.0 if name == "min_agreement" else sys.float_info.max
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
    if not number or (name == "max_bytes" and int(value) != value):
        positive = "a number above 0" if least else "a number, 0 or more"
        raise OptionError(f"{name}={shown(value)}: give {hint.get(name, positive)}")
