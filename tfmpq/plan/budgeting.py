"""From weighed layers to planned ones: the points and forms that a budget pays for."""

from __future__ import annotations

from collections.abc import Callable

from tfmpq.plan.choice import Chooser, epsilon_points
from tfmpq.plan.search import fit_bytes, fit_score
from tfmpq.plan.weighing import output_energy, total_row_bytes
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes, MaxDrop
from tfmpq.stages import Network, Planned


def plan_layers(
    chooser: Chooser,
    budget: Budget,
    *,
    network: Network,
    size: Callable[[list[Planned]], int],
    convert: Callable[[list[Planned]], bytes],
    eight_bits: Callable[[], bytes],
) -> list[Planned]:
    """Chooses the points of every row and the form of every layer.

    Args:
        chooser: of the layers to be planned.
        budget: what further points may cost; for LikeStock see :mod:`tfmpq.plan.like_stock`.
        network: the layers are in.
        size: plan -> bytes of its file.
        convert: plan -> its file.
        eight_bits: gives the file with 8-bit rows.

    Raises:
        BudgetError: The budget cannot be met.
    """
    layers = chooser.layers
    if isinstance(budget, Epsilon):
        counts = epsilon_points(layers, lambda x: output_energy(x, centred=x.corrects_bias), budget.value)
        return chooser.forms(counts)
    choose = chooser.chooser()
    if isinstance(budget, ExtraBits):
        return choose(budget.fraction * chooser.base_bytes)
    everything = total_row_bytes(layers)
    if isinstance(budget, MaxBytes):
        return fit_bytes(budget, choose, everything, size)
    assert isinstance(budget, MaxDrop), budget
    return fit_score(budget, choose, everything, convert, network.float_model.flatbuffer, eight_bits)
