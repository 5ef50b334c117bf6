"""A model with its points chosen and weighed: what all budgets of one conversion share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from converters.frontend.origin import as_brought
from converters.layers.layer import Skipped
from converters.lowering.form import Storage
from converters.reference.position_gradients import Relevance
from converters.targets import Target
from converters.tflite.file import File
from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.activations.subject import Mended
from tfmpq.clock import Clock
from tfmpq.data.holdout import Split
from tfmpq.decision import decide
from tfmpq.emit.eight_bits import eight_bit_file
from tfmpq.emit.lean import Lean, check_lean, lean, refuse_shared_scales
from tfmpq.emit.like_stock import LikeStockPlanner
from tfmpq.emit.loops import with_steps
from tfmpq.emit.other_graphs import check_other_graphs, sharing_notes
from tfmpq.emit.validation import ValidationReport, check_first_run, parse_emitted
from tfmpq.emit.validation import validate as validate_file
from tfmpq.emit.write import Emission, emit
from tfmpq.measure.evidence import counting_positions
from tfmpq.options import OF_A_FILE, Options, takes_options
from tfmpq.plan.choice import Chooser
from tfmpq.plan.layer_plan import Plan
from tfmpq.plan.lowering_cost import LoopTime, lowering_costs
from tfmpq.plan.storage import stored
from tfmpq.plan.unspent import Unspent, explain_unspent
from tfmpq.progress import Progress
from tfmpq.recipe.rules import Recipe
from tfmpq.refine.distill import Distiller
from tfmpq.refine.refine import Refiner
from tfmpq.report.build import MAX_SAMPLES, build_report
from tfmpq.report.like_stock import like_stock_figures
from tfmpq.report.loops import with_loops
from tfmpq.report.notes import target_notes
from tfmpq.report.report import Report
from tfmpq.result import ConversionResult
from tfmpq.stages import Measured, Network, Planned, Weighed
from tfmpq.suspicion.suspicion import Suspicion, announce
from tfmpq.version import __version__
from tfmpq.written_loops import PreparedLoop, WrittenLoops, running

_VALIDATION_SAMPLES = 2


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
            **options: ``budget``, ``weights``, ``max_latency_ratio``, ``names``, ``bias_scales``, ``validate`` as of
                :class:`tfmpq.Options`, by default their defaults.

        Raises:
            ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
        """
        chosen = Options.of(options, OF_A_FILE)
        return self.write(chosen)

    def write(self, chosen: Options) -> ConversionResult:
        """As :meth:`finish`, for the options of a file in ``chosen``."""
        refuse_shared_scales(chosen, self.target)
        with Clock(self.seconds, shown=self.options.progress) as clock:
            return self._write(chosen, clock)

    def _write(self, chosen: Options, clock: Clock) -> ConversionResult:
        loops = WrittenLoops.write(self.loops, chosen)
        if self.loops:
            clock.lap("loops")
        layers, storage = stored(self.weighed, chosen, self.target)
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
        whole = partial(self._emit, storage=storage, loops=loops, chosen=chosen)
        small = partial(self._lean, loops=loops, chosen=chosen)
        eight_bits = with_steps(self._eight_bits, loops.eight_bits)
        decided = decide(
            chooser,
            chosen.budget,
            network=self.network,
            planner=self._like_stock,
            refiner=self._refiner,
            size=lambda plan: len(small(whole(plan, placeholders=True)).content),
            convert=lambda plan: self._checked(small(whole(plan)).content),
            eight_bits=lambda: eight_bits,
        )
        plan = decided.plan
        clock.lap("allocation" if self._refiner is None else "refinement")
        emission = whole(plan)
        leaned = small(emission)
        clock.lap("lowering")
        unspent = explain_unspent(plan, chosen.budget, chooser, file_bytes=lambda: len(leaned.content))
        exact = parse_emitted(emission.content)
        file = check_lean(leaned, exact)
        checked = None
        if chosen.validate:
            samples, apart = self.data.held_out[:_VALIDATION_SAMPLES], {x.loop.number for x in self.loops}
            checked = validate_file(file, self.network.base, emission.lowered, samples, apart=apart)
        else:
            self._checked(file.content)
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
            notes=(*decided.notes, *leaned.notes()),
        )
        if decided.likeness is not None:
            report = replace(report, like_stock=like_stock_figures(decided.likeness, chooser))
        report = with_loops(report, loops.reports)
        announce(report.warnings[len(self.warnings) :], stacklevel=4)
        made = emission.content, self.network.float_model.flatbuffer, self.network.stock.content, eight_bits
        content, float_file, stock_file, eight_bits = (as_brought(c, self.network.float_model.origin) for c in made)
        if content != emission.content:
            leaned = small(replace(emission, content=content))
        layers = Plan({**loops.plans, **Plan.of(plan).layers})
        return ConversionResult(
            leaned.content, layers, report, float_file, stock_file, eight_bit_model=eight_bits, names=leaned.names
        )

    @cached_property
    def _like_stock(self) -> LikeStockPlanner:
        return LikeStockPlanner(self.network, self.data)

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
    def _refiner(self) -> Refiner | Distiller | None:
        if self.options.effort == "fast":
            return None
        progress, make = Progress(self.options.progress), Distiller if self.options.effort == "distill" else Refiner
        return make(self.weighed, self.network, self.data, seed=self.options.seed, progress=progress)

    @cached_property
    def _eight_bits(self) -> bytes:
        return eight_bit_file(self.network, self.weighed)

    @cached_property
    def _relevance(self) -> Relevance:
        """Which positions count in the samples that the report measures on."""
        layers, samples = [layer.layer for layer in self.measured], self.data.held_out[:MAX_SAMPLES]
        return counting_positions(self.network.model, layers, lambda: iter(samples), seed=self.options.seed)

    def _checked(self, content: bytes) -> bytes:
        check_first_run(content, self.data.held_out[0])
        return content

    def _lean(self, emission: Emission, loops: WrittenLoops, chosen: Options) -> Lean:
        lowerings = {layer.name: layer.lowering for layer in emission.layers}
        lowerings |= {name: plan.settings.lowering for name, plan in loops.plans.items()}
        return lean(emission.content, chosen, lowerings)

    def _emit(
        self,
        plan: Sequence[Planned],
        storage: Storage,
        loops: WrittenLoops,
        chosen: Options,
        *,
        placeholders: bool = False,
    ) -> Emission:
        """``placeholders``: for the size only, without a pass over the samples."""
        emission = emit(
            self.network,
            plan,
            storage=storage,
            samples=None if placeholders else self.data.fit,
            count=self.data.fit.count,
            metadata={
                "version": __version__,
                "recipe": json.loads(self.recipe.to_json())["rules"],
                **self.record,
                **({} if chosen.bias_scales == "exact" else {"bias_scales": chosen.bias_scales}),
            },
            progress=Progress(self.options.progress),
        )
        return replace(emission, content=with_steps(emission.content, loops.steps))
