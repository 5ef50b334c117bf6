"""Activations that are to blame for what a file loses: which to warn of, and the rule that cures each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.activations.losses.rounding import GOOD_DB
from tfmpq.recipe.rules import Rule
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import plural, shorten

POOR_DB = 15.0  # of an inner tensor: its own rounding is a thirtieth of what it says, and much of a network of many
_NAMED = 3
_NAME = 60  # columns in a sentence
_MASKS = "masked values"  # what :mod:`tfmpq.suspicion.activations` calls what it sees
CURES = {
    "none": "-",
    "equalize": "equalize its channels",
    "range": "a narrower range",
    "mask": "a smaller mask",
    "outputs": "outputs={...: 'float'}",
    "two points": "two points",
}


def rule_of(loss: TensorLoss) -> Rule | None:
    """The recipe rule that cures an activation; None: no rule does, or nothing is wrong."""
    match = f"^{re.escape(loss.layer)}$"
    if loss.op == "INPUT" or loss.output:  # inputs have no layer; outputs have an option of their own
        return None
    if loss.cure == "equalize":
        return Rule(match, equalize="auto")
    if loss.cure == "range":
        return Rule(match, range=loss.range)
    return Rule(match, activations="two points") if loss.cure == "two points" else None


def culprits(losses: Sequence[TensorLoss], below: float) -> list[TensorLoss]:
    """Those of fewer decibels, the worst first; one of each layer, and of those that share a scale.

    Where a mask is among these, it is the one: it made the scale.
    """
    found: list[TensorLoss] = []
    for loss in sorted(losses, key=lambda loss: (loss.cure != "mask", loss.sqnr_db)):
        if loss.sqnr_db < below and not any(loss.layer == x.layer or loss.step == x.step for x in found):
            found.append(loss)
    return sorted(found, key=lambda loss: loss.sqnr_db)


def tensor_signs(losses: Sequence[TensorLoss], known: Sequence[Suspicion] = ()) -> Iterator[Suspicion]:
    """A warning of inner tensors that int8 holds badly.

    Args:
        losses: of the int8 file that is rounded.
        known: what was warned of already: masks need no second warning.
    """
    warned = any(suspicion.sign == _MASKS for suspicion in known)
    worst = culprits([loss for loss in losses if not loss.output and loss.with_mean_db < GOOD_DB], POOR_DB)
    poor = [loss for loss in worst if not (warned and loss.cure == "mask")]
    if not poor:
        return
    named = "; ".join(_described(loss) for loss in poor[:_NAMED])
    more = f"; and {len(poor) - _NAMED} more" if len(poor) > _NAMED else ""
    yield Suspicion(
        "activations",
        "coarse activations",
        f"The one int8 scale of {plural(len(poor), 'tensor')} rounds away much of what it says, whatever the weights: "
        f"{named}{more}. More bits for weights do not help there.",
    )


def _described(loss: TensorLoss) -> str:
    signal = "nothing is left" if loss.sqnr_db <= 0 else f"{loss.sqnr_db:.1f} dB"
    return f"'{shorten(loss.layer, _NAME)}' ({loss.op}, {signal}; what helps: {advice(loss)})"


def advice(loss: TensorLoss) -> str:
    """What to do about an activation, in a few words or as a rule."""
    rule = rule_of(loss)
    if rule is not None:
        settings = ", ".join(f"{key}={value!r}" for key, value in rule.settings().items())
        return f"Rule(..., {settings})"
    return CURES[loss.cure]


def plain(loss: TensorLoss) -> dict[str, Any]:
    """All of it and its rule, for JSON."""
    rule = rule_of(loss)
    found = dataclasses.asdict(loss)
    return {**found, "rule": None if rule is None else {"match": rule.match, **rule.settings()}}
