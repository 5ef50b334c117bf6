"""From weighed layers to planned ones: the points and forms that a budget pays for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from converters.targets import Target
from tfmpq.plan.choice import Chooser, base_bytes, epsilon_points
from tfmpq.plan.search import fit_bytes, fit_score
from tfmpq.plan.weighing import output_energy, total_row_bytes
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes
from tfmpq.stages import Network, Planned, Weighed


def plan_layers(
    layers: Sequence[Weighed],
    budget: Budget,
    *,
    network: Network,
    target: Target,
    max_latency_ratio: float | None,
    int4: bool,
    size: Callable[[list[Planned]], int],
    convert: Callable[[list[Planned]], bytes],
) -> list[Planned]:
    """Chooses the points of every row and the form of every layer.

    Args:
        layers: to be planned.
        budget: what further points may cost.
        network: the layers are in.
        target: whose speed counts.
        max_latency_ratio: most predicted latency relative to stock int8, or None.
        int4: whether points may be stored as INT4.
        size: plan -> bytes of its file.
        convert: plan -> its file.

    Raises:
        BudgetError: The budget cannot be met.
    """
    chooser = Chooser(layers, target, network.stock.graph, max_latency_ratio, int4)
    if isinstance(budget, Epsilon):
        counts = epsilon_points(layers, lambda x: output_energy(x, centred=x.corrects_bias), budget.value)
        return chooser.forms(counts)
    choose = chooser.chooser()
    if isinstance(budget, ExtraBits):
        return choose(budget.fraction * base_bytes([layer for layer in layers if layer.given_counts is None]))
    everything = total_row_bytes(layers)
    if isinstance(budget, MaxBytes):
        return fit_bytes(budget, choose, everything, size)
    return fit_score(budget, choose, everything, convert, network.float_model.flatbuffer)
