"""Files run to find the one that is like stock: what :mod:`tfmpq.plan.like_stock` asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from converters.tflite.graph import Model
from converters.tflite.reader import load
from tfmpq.data.holdout import Split
from tfmpq.measure.likeness import Yardstick
from tfmpq.plan.choice import Chooser
from tfmpq.plan.like_stock import Judge, Likeness, Ran, fit_stock
from tfmpq.plan.weighing import total_row_bytes
from tfmpq.recipe.budgets import ExtraBits, LikeStock
from tfmpq.stages import Network, Planned

INSTEAD = ExtraBits(0.10)  # where outputs tell nothing


@dataclass(frozen=True, eq=False)
class LikeStockPlanner:
    """What all files of one conversion are judged by, measured when it is first needed.

    Attributes:
        network: the float model and its stock int8 twin.
        data: of the conversion.
    """

    network: Network
    data: Split

    @cached_property
    def _yardstick(self) -> Yardstick | None:
        further = () if self.data.fitted else self.data.fit()
        float_model = load(self.network.float_model.flatbuffer)
        return Yardstick.of(float_model, self.network.stock.model, self.data.judge, further)

    def plan(
        self,
        chooser: Chooser,
        budget: LikeStock,
        *,
        convert: Callable[[list[Planned]], bytes],
        runs: Callable[[bytes, Sequence[Planned]], Model],
        eight_bits: Callable[[], bytes],
    ) -> tuple[list[Planned], Likeness | None]:
        """The plan, and how it was found; None where there was nothing to choose or to measure.

        Args:
            chooser: of the layers to be planned.
            budget: what is asked for.
            convert: plan -> its file.
            runs: what runs of a file: a compact one is expanded when it is loaded.
            eight_bits: gives the file with 8-bit rows.
        """
        choose, layers = chooser.chooser(), chooser.layers
        everything = total_row_bytes([layer for layer in layers if layer.given_counts is None])
        if not chooser.base_bytes or not everything:
            return choose(0.0), None
        yardstick = self._yardstick
        if yardstick is None:
            return choose(INSTEAD.fraction * chooser.base_bytes), None

        def run(plan: list[Planned]) -> Ran:
            content = convert(plan)
            return Ran(yardstick.noise(runs(content, plan)), len(content))

        likeness = fit_stock(
            choose,
            chooser.base_bytes,
            everything,
            run=run,
            judge=Judge(yardstick, yardstick.noise(load(eight_bits())), budget.margin),
            most_bytes=len(self.network.stock.content),
            fitted=self.data.fitted,
        )
        return likeness.chosen.plan, likeness
