"""Where the time of a conversion goes, and about how much of it is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

from converters.runtime.memory import release_memory

# Per cent of the time of a conversion with 100 samples, about the mean of two ResNets for CIFAR-10 and MobileNetV1.
SHARES: Mapping[str, float] = {
    "float conversion": 20,
    "data check": 5,
    "stock conversion": 15,
    "stock run": 1,
    "activations": 18,
    "statistics": 14,
    "points": 8,
    "sensitivity": 11,
    "allocation": 4,
    "lowering": 1,
    "validation": 3,
}
_ENOUGH = 20.0  # per cent that must be done before the rest is estimated


class Clock:
    """Seconds spent in each stage.

    Used as a context, and shown, a line on stderr says which stage is under way, and what is left.

    Args:
        seconds: of stages that are done.
        shown: whether there is that line, above the bars of single stages. Only where stderr is a terminal: a notebook
            has no line above.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None, *, shown: bool = False) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})
        self._line = tqdm(bar_format="{desc}", leave=False) if shown and sys.stderr.isatty() else None
        self._last = time.perf_counter()
        self._say()

    def lap(self, stage: str) -> None:
        """Books the time since the last lap; the next stage starts without memory that this one has freed."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        release_memory()
        self._last = now
        self._say()

    def __enter__(self) -> Clock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._line is not None:
            self._line.close()

    def _say(self) -> None:
        if self._line is not None:
            self._line.set_description_str(progress_line(self.seconds))


def progress_line(seconds: Mapping[str, float]) -> str:
    """The first stage that is not among those which are done, its number, and about how long the rest takes.

    Args:
        seconds: of the stages that are done. Estimated is with :data:`SHARES` of the time; other networks differ.
    """
    following = next(((number, stage) for number, stage in enumerate(SHARES, 1) if stage not in seconds), None)
    if following is None:
        return "converting"
    done = sum(share for stage, share in SHARES.items() if stage in seconds)
    text = f"converting: {following[1]} ({following[0]} of {len(SHARES)})"
    if done < _ENOUGH:
        return text
    spent = sum(s for stage, s in seconds.items() if stage in SHARES)
    return f"{text}, about {tqdm.format_interval(spent * (sum(SHARES.values()) - done) / done)} left"
