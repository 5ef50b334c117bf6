"""What is left of a budget, why, and which option would spend it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from converters.points import MAX_POINTS
from tfmpq.plan.choice import Chooser, further_bytes
from tfmpq.recipe.budgets import Budget, ExtraBits, MaxBytes
from tfmpq.stages import Planned

_WORTH_A_WORD = 0.02  # of the budget; less is the last row that does not fit
_NO_LIMIT = 1e9


@dataclass(frozen=True)
class Unspent:
    """What is left of a budget.

    Attributes:
        bytes: left.
        budget: bytes there were for further points, or for the file.
        reason: why, and what would spend it.
    """

    bytes: float
    budget: float
    reason: str

    def __str__(self) -> str:
        return f"{self.bytes / self.budget:.0%} of it unspent: {self.reason}"


def explain_unspent(
    plan: Sequence[Planned], budget: Budget, chooser: Chooser, *, file_bytes: Callable[[], int]
) -> Unspent | None:
    """What is left of a budget of bytes; None where it is spent, or is no such budget.

    Args:
        plan: what was planned with it.
        budget: that budget.
        chooser: that planned it.
        file_bytes: size of the plan's file, asked only where it counts.
    """
    spent = sum(further_bytes(plan).values())
    if isinstance(budget, ExtraBits):
        whole = budget.fraction * chooser.base_bytes
        left, wanted = whole - spent, whole
    elif isinstance(budget, MaxBytes):
        whole = budget.bytes
        left = whole - file_bytes()
        wanted = spent + left
    else:
        return None
    if left <= max(_WORTH_A_WORD * whole, max((layer.row_bytes for layer in plan), default=0.0)):
        return None
    return Unspent(left, whole, _reason(plan, wanted, chooser))


def _reason(plan: Sequence[Planned], wanted: float, chooser: Chooser) -> str:
    spent = sum(further_bytes(plan).values())
    free = [layer for layer in plan if layer.given_counts is None and layer.settings.bits < 8]
    if not free and any(layer.given_counts is not None for layer in plan):
        return "all points that could be chosen are given"
    if not free:
        return "no layer has fewer than 8 bits; a recipe can lower them"
    if all(layer.counts.min() == len(layer.candidates) for layer in free):
        deeper = max(len(layer.candidates) for layer in free) + 1
        if deeper > MAX_POINTS or deeper * max(layer.settings.bits for layer in free) > 8:
            return "all rows have all their points, which is what 8 bits hold"
        return f"all rows have all their points; max_points={deeper} allows more"
    if chooser.has_choice:
        limit = chooser.default_ratio if chooser.max_ratio is None else chooser.max_ratio
        freed = replace(chooser, max_ratio=_NO_LIMIT).chooser()(wanted)
        if sum(further_bytes(freed).values()) > spent + _WORTH_A_WORD * wanted:
            ratio = math.ceil(100 * chooser.ratio(freed)) / 100
            option = f"max_latency_ratio={max(ratio, limit):g}"
            return f"{limit:g} x stock's predicted time allows no more; {option} would spend it"
    stiff = [layer for layer in free if layer.frozen is not None and layer.counts.max() == 1]
    if stiff:
        return f"the rows of {stiff[0].name!r} cannot be mixed ({stiff[0].frozen}); a rule with bits=8 spends it there"
    return "further points bring nothing that could be measured; more calibration samples may tell them apart"
