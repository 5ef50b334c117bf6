"""Budgets that need files to be judged: halving between no further points and points everywhere."""

from __future__ import annotations

from collections.abc import Callable

from converters.errors import BudgetError
from tfmpq.recipe.budgets import MaxBytes, MaxDrop
from tfmpq.stages import Planned

_SIZE_STEPS = 12  # 1/4096 of the range
_SCORE_STEPS = 6  # every step converts and evaluates; finer ones drown in the score's own error

Plan = list[Planned]
Choose = Callable[[float], Plan]


def fit_bytes(budget: MaxBytes, choose: Choose, everything: float, size: Callable[[Plan], int]) -> Plan:
    """The plan with the most further points whose file fits.

    Args:
        budget: the limit.
        choose: bytes of further points -> plan.
        everything: bytes at which every row has all its points.
        size: plan -> bytes of its file.

    Raises:
        BudgetError: Even without further points the file is larger.
    """
    smallest = size(choose(0.0))
    if smallest > budget.bytes:
        raise BudgetError(
            f"MaxBytes({budget.bytes}): the file has {smallest} bytes with one point in every row. Lower the bits, use "
            "lowering='auto' or 'split' with weights='auto' (INT4 storage), raise max_latency_ratio, or give a recipe "
            "that lowers the bits of layers that default to 8; tfmpq inspect shows where the bytes are."
        )
    if size(choose(everything)) <= budget.bytes:
        return choose(everything)
    low, high = 0.0, everything
    for _ in range(_SIZE_STEPS):
        middle = (low + high) / 2
        if size(choose(middle)) <= budget.bytes:
            low = middle
        else:
            high = middle
    return choose(low)


def fit_score(
    budget: MaxDrop,
    choose: Choose,
    everything: float,
    convert: Callable[[Plan], bytes],
    float_file: bytes,
    eight_bits: Callable[[], bytes],
) -> Plan:
    """The plan with the fewest further points whose score is close enough to the float model's.

    Args:
        budget: the largest drop, and what scores.
        choose: bytes of further points -> plan.
        everything: bytes at which every row has all its points.
        convert: plan -> its file.
        float_file: the model's.
        eight_bits: gives the file with 8-bit rows, which tells what activations cost.

    Raises:
        BudgetError: The score falls too far even with all points.
    """
    reference = float(budget.evaluate(float_file))
    target = reference - budget.points
    if budget.evaluate(convert(choose(0.0))) >= target:
        return choose(0.0)
    best = float(budget.evaluate(convert(choose(everything))))
    if not best >= target:  # so put, a score that is no number fails too
        activations = float(budget.evaluate(eight_bits()))
        advice = "Raise bits or max_points, give more calibration samples, or allow a larger drop."
        if not activations >= target:
            advice = (
                "It is the int8 activations that cost more than this, whatever the weights: the report of a conversion "
                "with another budget names the tensors that int8 holds worst and what helps; or allow a larger drop."
            )
        raise BudgetError(
            f"MaxDrop({budget.points:g}): the float model scores {reference:.4g}, the conversion with all points "
            f"{best:.4g}, and with 8 bits in all rows {activations:.4g}. {advice}"
        )
    low, high = 0.0, everything
    for _ in range(_SCORE_STEPS):
        middle = (low + high) / 2
        if budget.evaluate(convert(choose(middle))) >= target:
            high = middle
        else:
            low = middle
    return choose(high)
