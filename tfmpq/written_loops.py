"""The loops of a network in its file: each body was written as a file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from converters.frontend.loop_bodies import Loop
from converters.lowering.expand import expand
from converters.targets import Target, predict
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tfmpq.emit.loops import Step
from tfmpq.options import Options
from tfmpq.plan.layer_plan import LayerPlan
from tfmpq.plan.lowering_cost import LoopTime
from tfmpq.recipe.budgets import ExtraBits, MaxBytes, MaxDrop
from tfmpq.report.report import Report
from tfmpq.result import ConversionResult
from tfmpq.stages import Network

_BESIDE = ExtraBits(0.10)  # of loops in a file whose budget is for the whole of it


class Body(Protocol):
    """A loop's body, prepared as a network."""

    @property
    def network(self) -> Network:
        """The body as a model."""
        ...

    @property
    def target(self) -> Target:
        """Whose speed counts, in a loop."""
        ...

    def write(self, chosen: Options) -> ConversionResult:
        """Its file."""
        ...


@dataclass(frozen=True, eq=False)
class PreparedLoop:
    """A loop of a network, whose body is a network of its own.

    Attributes:
        loop: where it is.
        steps: that a sample takes, on average.
        body: what is computed in each.
    """

    loop: Loop
    steps: float
    body: Body


@dataclass(frozen=True, eq=False)
class WrittenLoops:
    """The loops of a network with the files of their bodies.

    Attributes:
        results: loops and what was written of their bodies.
    """

    results: Sequence[tuple[PreparedLoop, ConversionResult]]

    @classmethod
    def write(cls, loops: Sequence[PreparedLoop], chosen: Options) -> WrittenLoops:
        """Writes the bodies with the options of the whole file; budgets of it are met by what is outside of them."""
        if isinstance(chosen.budget, (MaxBytes, MaxDrop)):
            chosen = replace(chosen, budget=_BESIDE)
        chosen = replace(chosen, names="keep", bias_scales="exact")  # what is left out, the whole file leaves out
        return cls([(loop, loop.body.write(chosen)) for loop in loops])

    @property
    def steps(self) -> list[Step]:
        """What stands in the file."""
        return [(x.loop, result.tflite_model) for x, result in self.results]

    @property
    def eight_bits(self) -> list[Step]:
        """What stands in the file with 8-bit rows."""
        return [(x.loop, result.eight_bit_model) for x, result in self.results]

    @property
    def reports(self) -> dict[str, Report]:
        """By loop."""
        return {x.loop.name: result.report for x, result in self.results}

    @property
    def plans(self) -> dict[str, LayerPlan]:
        """By layer, of all loops."""
        return {name: plan for _, result in self.results for name, plan in result.plan.layers.items()}

    @property
    def time(self) -> LoopTime:
        """What all steps are predicted to take."""
        stock = file = 0.0
        for x, result in self.results:
            runs = running(result.tflite_model, {plan.settings.lowering for plan in result.plan.layers.values()})
            stock += x.steps * predict(x.body.network.stock.graph, x.body.target)
            file += x.steps * predict(runs.graph, x.body.target)
        return LoopTime(stock, file)


def running(content: bytes, lowerings: Iterable[str]) -> Model:
    """What runs of a file: a compact one is expanded when it is loaded.

    Args:
        content: of the file.
        lowerings: of its layers.
    """
    return load(expand(content) if "compact" in lowerings else content)
