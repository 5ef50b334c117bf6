"""What a runtime's answer amounts to, beside that of this environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tools.compat.session import Answer

SLOW = 1.25  # times stock's time in the same runtime: beyond what a busy machine does to a median
_LONGEST = 200
# What differs from file to file without saying more, or is said many times.
_NOISE = (
    (r"INFO: [^:]*? CPU\.", ""),
    (r"\b(?:ERROR|Error|RuntimeError):\s*", ""),
    (r"\bNode number \d+", " node"),
    (r"(\w[^.]{15,}? tensor)(?: \1)+", r"\1"),
    (r"\s+", " "),
)


@dataclass(frozen=True)
class Verdict:
    """One cell of the table.

    Attributes:
        refuses: why it does not run; empty if it does.
        same_as: kernels of this environment whose outputs have the same bits; empty if none have.
        sqnr: of the outputs against this environment's, in dB; infinite where they are the same.
        steps: the largest difference in output steps; None for float outputs.
        ratio: time relative to stock's; None where it was not taken.
    """

    refuses: str = ""
    same_as: str = ""
    sqnr: float = np.inf
    steps: int | None = None
    ratio: float | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """``runs``, ``refuses``, ``slow``, ``different``: what holds."""
        if self.refuses:
            return ("refuses",)
        found = [word for word, holds in (("different", not self.same_as), ("slow", self.slow)) if holds]
        return tuple(found) or ("runs",)

    @property
    def slow(self) -> bool:
        """Whether it takes longer than stock."""
        return self.ratio is not None and self.ratio > SLOW


def judge(answer: Answer, references: Mapping[str, np.ndarray], zero_point: int) -> Verdict:
    """Compares an answer with what this environment computes.

    Args:
        answer: of the runtime.
        references: kernels -> outputs in this environment; the first counts where none is the same.
        zero_point: of the outputs, in steps; 0 for floats.
    """
    if answer.output is None:
        return Verdict(refuses=plain(answer.refused))
    first, found = next(iter(references.values())), answer.output
    if found.dtype != first.dtype or found.shape != first.shape:
        return Verdict(refuses=f"it gives {found.size} values of {found.dtype}, not {first.size} of {first.dtype}")
    for kernels, expected in references.items():
        if expected.tobytes() == found.tobytes():
            return Verdict(same_as=kernels, ratio=answer.ratio, steps=None if found.dtype.kind == "f" else 0)
    difference = found.astype(np.float64) - first.astype(np.float64)
    if not np.isfinite(difference).all():
        return Verdict(sqnr=-np.inf, ratio=answer.ratio)
    signal = np.square(first.astype(np.float64) - zero_point).sum()
    sqnr = 10 * float(np.log10(max(signal, 1e-30) / max(np.square(difference).sum(), 1e-30)))
    steps = None if found.dtype.kind == "f" else int(np.abs(difference).max())
    return Verdict(sqnr=sqnr, steps=steps, ratio=answer.ratio)


def plain(message: str) -> str:
    """A runtime's message in one short line, without paths and places of its sources."""
    lines = [line.strip() for line in message.splitlines()]
    said = " ".join(line for line in lines if line and not re.match(r"(\w+: )?Exception from |Check '", line))
    said = re.sub(r"(?:[\w.+-]*/)+([\w+-]+\.(?:cc|cpp|h|py)\b)", r"\1", said or " ".join(lines))
    for pattern, instead in _NOISE:
        said = re.sub(pattern, instead, said)
    said = said.replace("|", "/").strip()
    return said if len(said) <= _LONGEST else said[: _LONGEST - 3].rstrip() + "..."
