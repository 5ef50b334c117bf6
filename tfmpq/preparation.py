"""A model with its points chosen and weighed: what all budgets of one conversion share."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from converters.errors import OptionError
from converters.frontend.origin import as_brought
from converters.layers.layer import Skipped
from converters.lowering.form import Storage
from converters.lowering.forms import FORMS
from converters.reference.position_gradients import Relevance
from converters.targets import Target
from converters.tflite.file import File
from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.activations.subject import Mended
from tfmpq.data.holdout import Split
from tfmpq.emit.eight_bits import eight_bit_file
from tfmpq.emit.loops import with_steps
from tfmpq.emit.other_graphs import check_other_graphs, sharing_notes
from tfmpq.emit.validation import ValidationReport, check_first_run, parse_emitted
from tfmpq.emit.validation import validate as validate_file
from tfmpq.emit.write import Emission, emit
from tfmpq.measure.evidence import counting_positions
from tfmpq.measure.moments import Samples
from tfmpq.options import OF_A_FILE, Options, takes_options
from tfmpq.plan.budgeting import plan_layers
from tfmpq.plan.choice import Chooser
from tfmpq.plan.layer_plan import Plan
from tfmpq.plan.lowering_cost import LoopTime, lowering_costs
from tfmpq.plan.unspent import Unspent, explain_unspent
from tfmpq.progress import Progress
from tfmpq.recipe.rules import Recipe
from tfmpq.refine.refine import Refined, Refiner
from tfmpq.report.build import MAX_SAMPLES, build_report
from tfmpq.report.loops import with_loops
from tfmpq.report.notes import target_notes
from tfmpq.report.report import Report
from tfmpq.result import ConversionResult
from tfmpq.stages import Measured, Network, Planned, Weighed
from tfmpq.suspicion.suspicion import Suspicion, announce
from tfmpq.version import __version__
from tfmpq.written_loops import PreparedLoop, WrittenLoops, running

_VALIDATION_SAMPLES = 2


class Clock:
    """Seconds spent in each stage."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Books the time since the last lap."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything up to the points and what they are worth; :meth:`finish` writes files from it.

    Attributes:
        options: of the conversion.
        recipe: rules of the model itself and of the caller.
        target: whose speed counts.
        network: the float model and its stock int8 twin.
        data: samples to fit and to measure on.
        measured: all layers, in graph order.
        weighed: those that tfmpq quantizes.
        skipped: ops that stay as stock has them.
        notes: what could not be kept or measured.
        seconds: time of each stage.
        warnings: signs that data or activations are not right.
        record: what else the file is to say of how it was made, by key.
        losses: what int8 loses of every activation.
        mended: what was done for activations, and for the codes of LSTMs.
        loops: in the network, with layers of their own.
        dynamic: whether activations are float.
    """

    options: Options
    recipe: Recipe
    target: Target
    network: Network
    data: Split
    measured: Sequence[Measured]
    weighed: Sequence[Weighed]
    skipped: Sequence[Skipped]
    notes: Sequence[str]
    seconds: Mapping[str, float]
    warnings: Sequence[Suspicion] = ()
    record: Mapping[str, object] = field(default_factory=dict)
    losses: Sequence[TensorLoss] = ()
    mended: Sequence[Mended] = ()
    loops: Sequence[PreparedLoop] = ()
    dynamic: bool = False

    @takes_options(*OF_A_FILE)
    def finish(self, **options: Any) -> ConversionResult:
        """Writes the file of a budget; takes seconds, and can be called for as many budgets as wanted.

        Args:
            **options: ``budget``, ``weights``, ``max_latency_ratio``, ``validate`` as of :class:`tfmpq.Options`, by
                default their defaults.

        Raises:
            ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
        """
        chosen = Options.of(options, OF_A_FILE)
        return self.write(chosen)

    def write(self, chosen: Options) -> ConversionResult:
        """As :meth:`finish`, for the options of a file in ``chosen``."""
        clock = Clock(self.seconds)
        loops = WrittenLoops.write(self.loops, chosen)
        if self.loops:
            clock.lap("loops")
        layers, storage = _stored(self.weighed, chosen, self.target)
        chooser = Chooser(
            layers,
            self.target,
            self.network.stock.graph,
            self.network.base.graph,
            chosen.max_latency_ratio,
            loops=loops.time,
            int4=storage != "int8",
            all_points=self.options.optimize == "file",
        )
        plan = plan_layers(
            chooser,
            chosen.budget,
            network=self.network,
            size=lambda plan: len(self._emit(plan, storage, None, loops).content),
            convert=lambda plan: self._checked(self._emit(plan, storage, self.data.fit, loops)).content,
            eight_bits=lambda: self._eight_bits,
        )
        clock.lap("allocation")
        refined = self._refiner(plan) if self._refiner else Refined(plan)
        plan = refined.plan
        if self._refiner:
            clock.lap("refinement")
        emission = self._emit(plan, storage, self.data.fit, loops)
        clock.lap("lowering")
        unspent = explain_unspent(plan, chosen.budget, chooser, file_bytes=lambda: len(emission.content))
        file = parse_emitted(emission.content)
        checked = None
        if chosen.validate:
            samples, apart = self.data.held_out[:_VALIDATION_SAMPLES], {x.loop.number for x in self.loops}
            checked = validate_file(file, self.network.base, emission.lowered, samples, apart=apart)
        else:
            self._checked(emission)
        if chosen.validate:
            check_other_graphs(file, self.network.base, emission.layers)
        clock.lap("validation")
        report = self._report(
            emission,
            file,
            validation=checked,
            unspent=unspent,
            loops=chooser.loops,
            seconds=clock.seconds,
            notes=refined.notes,
        )
        report = with_loops(report, loops.reports)
        announce(report.warnings[len(self.warnings) :], stacklevel=3)
        eight_bits = with_steps(self._eight_bits, loops.eight_bits)
        made = emission.content, self.network.float_model.flatbuffer, self.network.stock.content, eight_bits
        content, float_file, stock_file, eight_bits = (as_brought(c, self.network.float_model.origin) for c in made)
        whole = Plan({**loops.plans, **Plan.of(plan).layers})
        return ConversionResult(content, whole, report, float_file, stock_file, eight_bit_model=eight_bits)

    def _report(
        self,
        emission: Emission,
        file: File,
        validation: ValidationReport | None,
        unspent: Unspent | None,
        loops: LoopTime,
        seconds: Mapping[str, float],
        notes: Sequence[str],
    ) -> Report:
        return build_report(
            self.network,
            file,
            self.measured,
            emission,
            skipped=self.skipped,
            samples=self.data.held_out,
            relevance=self._relevance,
            fitted=self.data.fitted,
            validation=validation,
            seconds=seconds,
            images=self.data.whole.images,
            views=self.data.whole.views,
            notes=(*self.notes, *notes, *self._sharing(emission), *target_notes(self.target)),
            warnings=self.warnings,
            lowering_costs=lowering_costs(
                emission.layers,
                target=self.target,
                stock=self.network.stock.graph,
                size=len(file.content),
                graph=running(file.content, {x.lowering for x in emission.layers}).graph,
                loops=loops,
            ),
            unspent=unspent,
            optimize=self.options.optimize,
            eight_bits=self._eight_bits,
            losses=self.losses,
            mended=self.mended,
            loops={x.loop.number for x in self.loops},
            dynamic=self.dynamic,
        )

    def _sharing(self, emission: Emission) -> Iterator[str]:
        origin, base = self.network.float_model.origin, self.network.base.model
        chosen = range(len(base.graphs)) if origin is None else origin.chosen
        return sharing_notes(emission.layers, base, chosen)

    @cached_property
    def _refiner(self) -> Refiner | None:
        if self.options.effort == "fast":
            return None
        progress = Progress(self.options.progress)
        return Refiner(self.weighed, self.network, self.data, seed=self.options.seed, progress=progress)

    @cached_property
    def _eight_bits(self) -> bytes:
        return eight_bit_file(self.network, self.weighed)

    @cached_property
    def _relevance(self) -> Relevance:
        """Which positions count in the samples that the report measures on."""
        layers, samples = [layer.layer for layer in self.measured], self.data.held_out[:MAX_SAMPLES]
        return counting_positions(self.network.model, layers, lambda: iter(samples), seed=self.options.seed)

    def _checked(self, emission: Emission) -> Emission:
        check_first_run(emission.content, self.data.held_out[0])
        return emission

    def _emit(
        self, plan: Sequence[Planned], storage: Storage, samples: Samples | None, loops: WrittenLoops
    ) -> Emission:
        emission = emit(
            self.network,
            plan,
            storage=storage,
            samples=samples,
            count=self.data.fit.count,
            metadata={
                "version": __version__,
                "recipe": json.loads(self.recipe.to_json())["rules"],
                **self.record,
            },
            progress=Progress(self.options.progress),
        )
        return replace(emission, content=with_steps(emission.content, loops.steps))


def _stored(layers: Sequence[Weighed], chosen: Options, target: Target) -> tuple[list[Weighed], Storage]:
    """The layers with the lowerings that ``weights`` stands for, and how points that stay apart are stored."""
    if chosen.weights == "int8":
        return [_in(layer, "fused") if layer.settings.lowering == "own operator" else layer for layer in layers], "int8"
    if chosen.weights == "auto":
        return list(layers), "auto" if target.supports("FULLY_CONNECTED", "INT4") else "int8"
    if any(layer.settings.lowering not in ("parallel", "compact") for layer in layers):
        raise OptionError(
            "weights='int4' is the compact storage of the parallel form; give lowering='compact' instead (and no "
            "rules with other lowerings), or leave weights='auto'."
        )
    if lacking := FORMS["compact"].lacking(target):
        raise OptionError(f"weights='int4', which is lowering='compact', is impossible on {target.name!r}: {lacking}")
    return [_in(layer, "compact") for layer in layers], "auto"


def _in(layer: Weighed, lowering: str) -> Weighed:
    return replace(layer, settings=replace(layer.settings, lowering=lowering))
