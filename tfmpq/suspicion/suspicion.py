"""A sign that something is wrong, and how it is said: at once as a warning, and later in the report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from converters.errors import DataError, DataWarning


@dataclass(frozen=True)
class Suspicion:
    """What was seen, what it likely means and what to do.

    Attributes:
        about: the data, so that every figure measured on them is doubtful; what int8 makes of activations; or what few
            bits make of weights.
        sign: which check saw it.
        text: sentences for the user.
    """

    about: Literal["data", "activations", "weights"]
    sign: str
    text: str

    def __str__(self) -> str:
        return self.text


def announce(suspicions: Sequence[Suspicion], *, strict: bool = False, stacklevel: int = 2) -> None:
    """Warns of each.

    Args:
        suspicions: in the order of their weight.
        strict: raise them instead.
        stacklevel: as for :func:`warnings.warn`, from here.

    Raises:
        DataError: ``strict``, and there are some.
    """
    if strict and suspicions:
        said = " ".join(str(suspicion) for suspicion in suspicions)
        raise DataError(f"{said} (An error because of strict=True.)")
    for suspicion in suspicions:
        warnings.warn(DataWarning(str(suspicion)), stacklevel=stacklevel + 1)
