"""From a budget to a plan: what predictions decide, and what files are written and run for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from converters.tflite.graph import Model
from tfmpq.emit.like_stock import LikeStockPlanner
from tfmpq.plan.budgeting import plan_layers
from tfmpq.plan.choice import Chooser
from tfmpq.plan.like_stock import Likeness
from tfmpq.recipe.budgets import Budget, LikeStock
from tfmpq.refine.distill import Distiller
from tfmpq.refine.refine import Refiner
from tfmpq.stages import Network, Planned
from tfmpq.written_loops import running


@dataclass(frozen=True, eq=False)
class Decision:
    """What is to be written.

    Attributes:
        plan: points and forms of all layers.
        likeness: how the plan was found where files were run for that.
        notes: what effort brought.
    """

    plan: Sequence[Planned]
    likeness: Likeness | None
    notes: tuple[str, ...]


def decide(
    chooser: Chooser,
    budget: Budget,
    *,
    network: Network,
    planner: LikeStockPlanner,
    refiner: Refiner | Distiller | None,
    size: Callable[[Sequence[Planned]], int],
    convert: Callable[[Sequence[Planned]], bytes],
    eight_bits: Callable[[], bytes],
) -> Decision:
    """Chooses points and forms; with a refiner, files are judged with their rows as it leaves them.

    Args:
        chooser: of the layers.
        budget: what further points may cost.
        network: the layers are in.
        planner: judges files by stock's.
        refiner: rounds rows again, of each plan that is tried or of the final one; None: they stay.
        size: plan -> bytes of its file.
        convert: plan -> its file.
        eight_bits: gives the file with 8-bit rows.

    Raises:
        BudgetError: The budget cannot be met.
    """
    likeness, trial = None, refiner if isinstance(refiner, Refiner) else None
    if isinstance(budget, LikeStock):  # judges by the samples that settled rows are fitted to
        plan, likeness = planner.plan(
            chooser,
            budget,
            convert=lambda plan: convert(plan if trial is None else trial(plan).plan),
            runs=_runs,
            eight_bits=eight_bits,
        )
    else:
        plan = plan_layers(
            chooser,
            budget,
            network=network,
            size=size,
            convert=lambda plan: convert(plan if trial is None else trial.settled(trial(plan))),
            eight_bits=eight_bits,
        )
    if refiner is None:
        return Decision(plan, likeness, ())
    refined = refiner(plan)
    return Decision(refiner.settled(refined), likeness, (refined.note,))


def _runs(content: bytes, plan: Sequence[Planned]) -> Model:
    return running(content, {layer.lowering for layer in plan})
