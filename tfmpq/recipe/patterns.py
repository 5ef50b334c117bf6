"""Regular expressions that take time in proportion to the text: rules and layer names come from files of others.

RE2 matches them. Python's own search goes back and tries again, ``(a+)+$`` for 2^n steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import re2

_MAX_LENGTH = 1000  # characters of a pattern


@functools.lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A function that says whether the pattern matches anywhere in a text, as ``re.search`` does.

    Raises:
        ValueError: It is no regular expression of RE2; with the reason.
    """
    if len(pattern) > _MAX_LENGTH:
        raise ValueError(f"it has {len(pattern)} characters, more than {_MAX_LENGTH}")
    pattern.encode()  # a lone surrogate: UnicodeEncodeError is a ValueError
    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error
    return lambda text: search(text) is not None
