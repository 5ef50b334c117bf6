"""What a plan's forms cost, predicted: beside stock, and in other forms of the same points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.lowering.form import FormCost
from converters.lowering.forms import FORMS, settle
from converters.targets import Target, predict, work_of
from converters.tflite.graph import Graph
from tfmpq.stages import Planned, Rounded


@dataclass(frozen=True)
class LoweringCost:
    """What a lowering of all layers would make of the same points.

    Attributes:
        lowering: its name; ``"as written"``: the file at hand.
        bytes: size of the file (for the others: about).
        latency_ratio: predicted latency relative to stock int8.
        times: the target whose times these are, where the file's own has none; empty: its own.
    """

    lowering: str
    bytes: int
    latency_ratio: float
    times: str = ""

    @property
    def predicted(self) -> str:
        """``1.02 x stock's time``, and whose times these are."""
        return f"{self.latency_ratio:.2f} x stock's time" + (f" by {self.times}'s times" if self.times else "")


@dataclass(frozen=True)
class LoopTime:
    """Predicted microseconds of all steps of a network's loops, which the times of its main graph leave out.

    Attributes:
        stock: in the stock file.
        file: in the emitted one.
    """

    stock: float = 0.0
    file: float = 0.0


NO_LOOPS = LoopTime()


def base_time(layers: Sequence[Rounded], target: Target) -> float:
    """Predicted microseconds of the layers in the int8 file that they are replaced in."""
    return sum(target.microseconds(work_of(use.int8_op)) for layer in layers for use in layer.layer.uses)


def predicted_ratio(
    plan: Sequence[Planned], target: Target, *, stock: Graph, base: Graph, loops: LoopTime = NO_LOOPS
) -> float:
    """Predicted latency of a plan relative to stock int8's."""
    whole = predict(stock, target) + loops.stock
    time = sum(_cost(layer, layer.lowering, target).microseconds for layer in plan)
    return (predict(base, target) + loops.file - base_time(plan, target) + time) / whole


def form_bytes(plan: Sequence[Planned], target: Target) -> float:
    """Bytes of constants of a plan's layers, in the forms that are planned."""
    return sum(_cost(layer, layer.lowering, target).bytes for layer in plan)


def lowering_costs(
    plan: Sequence[Planned], *, target: Target, stock: Graph, size: int, graph: Graph, loops: LoopTime = NO_LOOPS
) -> tuple[LoweringCost, ...]:
    """What the plan's points cost in the file that holds them, and about in every lowering of all layers.

    Args:
        plan: layers as written.
        target: cost table.
        stock: main graph of the stock int8 file.
        size: bytes of the emitted file.
        graph: main graph of what runs: of the file, or of its expansion.
        loops: that the graphs run.
    """
    whole, written = predict(stock, target) + loops.stock, predict(graph, target) + loops.file
    times = "" if target.stated is None else target.stated.times
    result = [LoweringCost("as written", size, written / whole, times)]
    before = [_cost(layer, layer.lowering, target) for layer in plan]
    for lowering in ("fused", "split", "parallel"):
        after = [_cost(layer, lowering, target) for layer in plan]
        bytes_ = size + sum(a.bytes - b.bytes for a, b in zip(after, before, strict=True))
        time = written + sum(a.microseconds - b.microseconds for a, b in zip(after, before, strict=True))
        result.append(LoweringCost(lowering, round(bytes_), time / whole, times))
    return tuple(result)


def _cost(layer: Planned, lowering: str, target: Target) -> FormCost:
    """What a layer costs in a form, or in the one that stands in for it."""
    if not FORMS[lowering].writes(layer.layer):
        return layer.form.cost(layer.asked, target)
    form, _ = settle(FORMS[lowering], layer.asked)
    if form.refuses(layer.asked):  # points that do not merge can only stay apart
        form, _ = settle(FORMS["parallel"], layer.asked)
    return form.cost(layer.asked, target)
