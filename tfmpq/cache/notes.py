"""What is said where the cache cannot do what it is for: the conversion goes on."""

from __future__ import annotations

import warnings

from converters.errors import CacheWarning
from tfmpq.cache.pickled import NotKeptError


def warn(text: str) -> None:
    """Says it to whoever called the store."""
    warnings.warn(CacheWarning(f"cache: {text}"), stacklevel=3)


def not_kept(error: Exception) -> str:
    """That nothing is kept, and why."""
    return f"nothing is kept of this conversion: {'it holds ' * isinstance(error, NotKeptError)}{error}"
