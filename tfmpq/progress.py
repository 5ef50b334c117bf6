"""Progress of long work on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


class Progress:
    """Wraps loops in a progress bar; silent where it is switched off."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown

    def __call__(self, items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
        """``items`` with a bar of ``total`` steps labelled ``what``."""
        return tqdm(items, total=total, desc=what, disable=not self.shown, leave=False)
