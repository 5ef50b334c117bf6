"""A model with its points chosen and weighed: what all budgets of one conversion share."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import OptionError
from converters.frontend.float_model import FloatModel
from converters.layers.layer import Layer, Skipped
from converters.lowering.parallel import Storage
from converters.tflite.graph import Model
from tfmpq.algorithms import Candidate
from tfmpq.data.holdout import Subset
from tfmpq.data.representative import RepresentativeData
from tfmpq.emit.validation import validate as validate_file
from tfmpq.emit.write import Emission, Rows, emit, match_layers
from tfmpq.measure.moments import LayerStatistics
from tfmpq.options import check_finish
from tfmpq.plan.choice import Chooser, lowering_costs
from tfmpq.plan.layer_plan import Plan
from tfmpq.plan.search import fit_bytes, fit_score
from tfmpq.progress import Progress
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes
from tfmpq.recipe.rules import LayerSettings, Recipe
from tfmpq.report.report import build_report
from tfmpq.result import ConversionResult
from tfmpq.stages import Costs, base_bytes, epsilon_plan, knapsack, make_rows, remaining_costs, row_bytes
from tfmpq.version import __version__

_VALIDATION_SAMPLES = 2


class Clock:
    """Seconds spent in each stage."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Books the time since the last lap."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything up to the points and what they are worth; :meth:`finish` writes files from it.

    Attributes:
        float_model, stock: the float model and its stock int8 twin.
        graph: the float graph.
        layers: all layers, in graph order.
        chosen: those that tfmpq quantizes.
        skipped: ops that stay as stock has them.
        settings, recipe: what was asked for.
        data, fit, held_back: all samples, those of the statistics, those the report measures on.
        statistics, candidates, costs, gains, orders: by layer name, see :mod:`tfmpq.stages`.
        fixed: layer name -> points of each row, for layers whose points come with the model.
        notes: what could not be kept of those.
        chooser: knows forms and their costs.
        seconds: time of each stage.
        progress: whether to show progress bars.
    """

    float_model: FloatModel
    stock: bytes
    graph: Model
    layers: Sequence[Layer]
    chosen: Sequence[Layer]
    skipped: Sequence[Skipped]
    settings: Mapping[str, LayerSettings]
    recipe: Recipe
    data: RepresentativeData
    fit: RepresentativeData | Subset
    held_back: Sequence[dict[str, np.ndarray]]
    statistics: Mapping[str, LayerStatistics]
    candidates: Mapping[str, list[Candidate]]
    costs: Costs
    gains: Mapping[str, np.ndarray]
    orders: Mapping[str, np.ndarray]
    fixed: Mapping[str, np.ndarray]
    notes: Sequence[str]
    chooser: Chooser
    seconds: Mapping[str, float]
    progress: bool

    def finish(
        self,
        *,
        budget: Budget = ExtraBits(0.10),  # noqa: B008 (frozen)
        weights: Storage = "auto",
        max_latency_ratio: float | None = None,
        validate: bool = True,
    ) -> ConversionResult:
        """Writes the file of a budget; takes seconds, and can be called for as many budgets as wanted.

        Args:
            budget, weights, max_latency_ratio, validate: as for :func:`tfmpq.convert`.

        Raises:
            ConversionError: With what is wrong, where, why and what to do; see :mod:`converters.errors`.
        """
        check_finish(budget=budget, weights=weights, max_latency_ratio=max_latency_ratio)
        if weights == "int4" and any(self.settings[layer.name].lowering != "parallel" for layer in self.chosen):
            raise OptionError(
                "weights='int4' is the compact storage of the parallel form; give lowering='parallel' with it (and no "
                "rules with other lowerings), or leave weights='auto'."
            )
        clock = Clock(self.seconds)
        plan = self._plan(budget, weights, max_latency_ratio)
        clock.lap("allocation")
        emission = self._write(plan, weights, self.fit)
        clock.lap("lowering")
        checked = None
        if validate:
            checked = validate_file(
                emission.content, self.stock, emission.lowered, self.held_back[:_VALIDATION_SAMPLES]
            )
            clock.lap("validation")
        rows = self._rows(plan)
        report = build_report(
            float_file=self.float_model.flatbuffer,
            stock_file=self.stock,
            file=emission.content,
            layers=self.layers,
            settings=self.settings,
            weights={name: r.weight for name, r in rows.items()},
            statistics=self.statistics,
            costs=remaining_costs(self.chosen, self.candidates, self.costs, plan),
            lowered=emission.lowered,
            skipped=self.skipped,
            fallbacks=emission.fallbacks,
            held_back=self.held_back,
            held_back_is_calibration=self.fit is self.data,
            validation=checked,
            seconds=clock.seconds,
            images=self.data.images,
            views=self.data.views,
            notes=(*self.notes, *self.costs.notes, *self._stored_as_int8(plan)),
            lowering_costs=lowering_costs(self.chooser, plan, emission.content),
            uncounted=self.chooser.int8_for_speed(plan),
        )
        return ConversionResult(emission.content, plan, report, self.float_model.flatbuffer, self.stock)

    def _stored_as_int8(self, plan: Plan) -> list[str]:
        """What to do where low-bit layers leave the file as large as stock's."""
        low = [layer for layer in self.chosen if self.settings[layer.name].bits <= 4]
        by_size = [layer for layer in low if self.settings[layer.name].lowering in ("auto", "split")]
        whole = sum(layer.weight.size for layer in low)
        int8 = sum(layer.weight.size for layer in by_size if plan.layers[layer.name].settings.lowering == "fused")
        if int8 <= whole / 2:
            return []
        return [
            f"{int8 / whole:.0%} of the low-bit weights stand in the file as int8, because INT4 is slower there. "
            "Compressed the file is smaller (size deflated); lowering='parallel' with weights='int4' makes the "
            "small one that tfmpq.expand turns into int8 when it is loaded."
        ]

    def _plan(self, budget: Budget, weights: Storage, max_latency_ratio: float | None) -> Plan:
        chooser = self.chooser.limited(max_latency_ratio, int4=weights != "int8")
        if isinstance(budget, Epsilon):
            plan = epsilon_plan(
                self.chosen, self.settings, self.candidates, self.statistics, self.orders, budget.value, self.fixed
            )
            return chooser.forms(plan) if chooser.has_choice else plan
        choose = (
            chooser.within()
            if chooser.has_choice
            else knapsack(self.chosen, self.settings, self.gains, self.orders, self.fixed)
        )
        if isinstance(budget, ExtraBits):
            free = [layer for layer in self.chosen if layer.name not in self.fixed]
            return choose(budget.fraction * base_bytes(free, self.settings))
        everything = sum(
            float(self.gains[layer.name].size) * row_bytes(layer, self.settings[layer.name]) for layer in self.chosen
        )
        if isinstance(budget, MaxBytes):
            return fit_bytes(budget, choose, everything, lambda p: len(self._write(p, weights, None).content))
        return fit_score(
            budget, choose, everything, lambda p: self._write(p, weights, self.fit).content, self.float_model.flatbuffer
        )

    def _rows(self, plan: Plan) -> dict[str, Rows]:
        return {
            layer.name: make_rows(
                layer,
                self.settings[layer.name],
                self.candidates[layer.name],
                plan.layers[layer.name].counts,
                self.statistics[layer.name],
            )
            for layer in self.chosen
        }

    def _write(self, plan: Plan, weights: Storage, samples: RepresentativeData | Subset | None) -> Emission:
        return emit(
            self.graph,
            self.stock,
            self._rows(plan),
            plan,
            find=match_layers(self.float_model),
            orders=self.orders,
            storage=weights,
            samples=samples,
            count=self.fit.count,
            metadata={"version": __version__, "recipe": json.loads(self.recipe.to_json())["rules"]},
            progress=Progress(self.progress),
        )
