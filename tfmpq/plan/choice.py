"""Points and forms of all layers together, under budgets of bytes and of predicted time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import BudgetError
from converters.lowering.form import Form, Request, Segments
from converters.lowering.forms import FORMS, only_form, settle
from converters.targets import Target, predict
from converters.tflite.graph import Graph
from tfmpq.algorithms.epsilon import epsilon_counts
from tfmpq.options import DYNAMIC_SPEED, STOCK_SPEED
from tfmpq.plan.allocation import LayerOptions, allocate
from tfmpq.plan.channel_order import up_to_last
from tfmpq.plan.layer_choice import LayerChoice, Option, Ranking
from tfmpq.plan.lowering_cost import NO_LOOPS, LoopTime, base_time, predicted_ratio
from tfmpq.plan.tradeoff import trade
from tfmpq.stages import Planned, Rounded, Weighed, advance

Choose = Callable[[float], list[Planned]]  # bytes of further points -> plan


def candidate_forms(layer: Rounded) -> list[Form]:
    """Forms that a layer may be planned in, the preferred first."""
    only = only_form(layer.layer)
    if only is not None:
        return [only]
    automatic = [form for form in FORMS.values() if _automatic(form, layer)]
    if layer.settings.lowering == "auto":
        return automatic
    asked = FORMS[layer.settings.lowering]
    if not layer.merges and asked.merges_rows:
        return automatic
    # A layer that cannot be split at all is fused, whatever its points.
    possible = [asked, *(FORMS[name] for name in asked.instead)]
    if not asked.asked_for:  # the settings name it, which know that it can be
        return [asked]
    return [next((form for form in possible if not form.merges_rows or _automatic(form, layer)), asked)]


def _automatic(form: Form, layer: Rounded) -> bool:
    return form.writes(layer.layer) and form.automatic(layer.layer, layer.settings.bits, merges=layer.merges)


@dataclass(frozen=True)
class Chooser:
    """Chooses points and forms of all layers together.

    Attributes:
        layers: the layers to choose for.
        target: cost table.
        stock: main graph of the stock int8 file, whose time counts.
        base: that of the int8 file in which layers are replaced.
        max_ratio: latency budget relative to stock; None: :attr:`default_ratio`, as far as it can be kept.
        loops: that the graphs run, whose time counts too.
        int4: whether points may be stored as INT4.
        all_points: whether rows that are not, as int8 rows have room for them, get all their points.
    """

    layers: Sequence[Weighed]
    target: Target
    stock: Graph
    base: Graph
    max_ratio: float | None = None
    loops: LoopTime = NO_LOOPS
    int4: bool = True
    all_points: bool = True

    @property
    def base_bytes(self) -> float:
        """What ExtraBits is a fraction of: the layers whose points are given have no part in it."""
        return base_bytes([layer for layer in self.layers if layer.given_counts is None])

    @property
    def has_choice(self) -> bool:
        """Whether forms or a latency budget have to be weighed, not only points."""
        return self.max_ratio is not None or any(layer.settings.lowering == "auto" for layer in self.layers)

    def chooser(self) -> Choose:
        """Bytes of further points -> plan."""
        if not self.has_choice:
            return knapsack(self.layers)
        choices = [self._choice(layer, layer.given_counts) for layer in self.layers]
        return lambda budget: self._plan(choices, budget, {})

    def forms(self, counts: Mapping[str, np.ndarray]) -> list[Planned]:
        """Points that are decided (layer name -> counts), each layer in the best form."""
        if not self.has_choice:
            return [_planned(layer, layer.settings.lowering, counts[layer.name]) for layer in self.layers]
        return self._plan([self._choice(layer, counts[layer.name]) for layer in self.layers], 0.0, counts)

    def _plan(self, choices: Sequence[LayerChoice], budget: float, decided: Mapping[str, np.ndarray]) -> list[Planned]:
        whole = predict(self.stock, self.target) + self.loops.stock
        rest = predict(self.base, self.target) + self.loops.file - base_time(self.layers, self.target)
        limit = self._ratio * whole - rest
        chosen = trade(choices, budget, limit)
        if self.max_ratio is not None and chosen.time > limit:
            raise BudgetError(
                f"max_latency_ratio={self.max_ratio:g}: with these lowerings the fastest file is predicted to take "
                f"{(rest + chosen.time) / whole:.3f} of stock's time on target {self.target.name!r}. Raise it, or "
                "use lowering='auto' or 'fused'."
            )
        result = []
        for layer, choice in zip(self.layers, choices, strict=True):
            found = chosen.layers[layer.name]
            counts = decided.get(layer.name, layer.given_counts)
            if counts is None:
                order = choice.order if found.ranking is None else found.ranking.order
                counts = 1 + np.bincount(order[: found.steps], minlength=layer.layer.channels)
            elif layer.given_counts is None and self._beyond(layer, found.form):
                counts = np.full(layer.layer.channels, len(layer.candidates))
            result.append(_planned(layer, found.form, counts))
        return result

    def ratio(self, plan: Sequence[Planned]) -> float:
        """Predicted latency of a plan relative to stock int8's."""
        return predicted_ratio(plan, self.target, stock=self.stock, base=self.base, loops=self.loops)

    @property
    def _ratio(self) -> float:
        """Of predicted latency to stock's, at most."""
        if self.max_ratio is not None:
            return self.max_ratio
        # What INT4 convolutions take where they are kept is not known: no points are given up for a guess.
        return self.default_ratio if FORMS["own operator"].lacking(self.target) else np.inf

    @property
    def default_ratio(self) -> float:
        """Of predicted latency to stock's, where nothing else is asked for."""
        return DYNAMIC_SPEED if any(layer.layer.reads_float for layer in self.layers) else STOCK_SPEED

    def _beyond(self, layer: Weighed, form: str) -> bool:
        """Whether rows decided by other means become int8 all the same, which has room for all their points."""
        free = self.int4 or self.all_points
        return free and layer.settings.lowering == "auto" and FORMS[form].beyond

    def _choice(self, layer: Weighed, counts: np.ndarray | None) -> LayerChoice:
        """What there is to choose: rows served in their shared order or by falling gain, or only the form."""
        channels = layer.layer.channels
        gains = layer.gains if counts is None else np.zeros((channels, 0))
        ranking = Ranking.of(gains, layer.order)
        own = np.arange(channels)
        if counts is not None:
            requests = [layer.request(counts)]
        else:
            first = replace(
                layer.request(np.ones(channels)), in_place=layer.order is not None and np.array_equal(layer.order, own)
            )
            requests = [replace(first, segments=s) for s in _all_segments(channels, len(ranking.order))]
        forms, free = candidate_forms(layer), False
        if layer.settings.lowering == "auto" and not self.int4 and FORMS["fused"] in forms:
            forms, free = [FORMS["fused"]], self.all_points
        elif layer.settings.lowering == "auto" and len(forms) > 1:
            forms = [form for form in forms if form.lacking(self.target) is None]
        options = []
        for form in forms:
            time = np.array([self._time(form, request) for request in (requests[:1] if form.beyond else requests)])
            time = np.broadcast_to(time, len(requests))
            if layer.layer.kind.table and self.max_ratio is None:  # no point is given up for a few rows more to look up
                time = np.full(len(requests), time[0])
            beyond = form.beyond and (len(forms) > 1 or free)
            if beyond:  # int8 whatever the points: then its rows may as well have all of them
                time = np.where(np.arange(len(requests)) == len(ranking.order), time, np.inf)
            extra = 0.0
            if beyond and not len(ranking.order):
                few = np.ones(channels) if counts is None else counts
                extra = layer.row_bytes * max(channels - float((few - 1).sum()), 0.0)
            options.append(Option(form.name, time, beyond, bytes=extra))
            if counts is None and layer.frozen is not None and form.restores(layer.layer):  # or no row moves
                stay = np.array([self._time(form, replace(request, in_place=True)) for request in requests])
                options.append(Option(form.name, stay, beyond, Ranking.of(gains, own)))
        return LayerChoice(layer.name, ranking.order, ranking.gains, layer.row_bytes, tuple(options))

    def _time(self, form: Form, request: Request) -> float:
        """Predicted microseconds; inf where the rows cannot be planned so."""
        if form.plans_refused:
            return form.cost(request, self.target).microseconds if _writes(form, request) else self._int8(request)
        if form.refuses(request):
            return np.inf
        return settle(form, request)[0].cost(request, self.target).microseconds

    def _int8(self, request: Request) -> float:
        return FORMS["fused"].cost(request, self.target).microseconds


def _writes(form: Form, request: Request) -> bool:
    """Whether the form writes the rows, or at least says why not: "" is rows that are one int8 op anyway."""
    return form.refuses(request) != ""


def _planned(layer: Weighed, lowering: str, counts: np.ndarray) -> Planned:
    return advance(Planned, layer, lowering=lowering, counts=counts)


def _all_segments(channels: int, steps: int) -> list[Segments]:
    """Rows by points after 0..steps further points, level by level."""
    result: list[Segments] = []
    for step in range(steps + 1):
        full, some = divmod(step, channels)
        result.append([(full + 2, some), (full + 1, channels - some)] if some else [(full + 1, channels)])
    return result


# ---------------------------------------------------------------- points where forms are settled


def knapsack(layers: Sequence[Weighed]) -> Choose:
    """Budget in bytes -> plan in the forms asked for; layers whose points are given have their counts already."""
    options = [
        LayerOptions(layer.name, layer.gains, layer.row_bytes, layer.order)
        for layer in layers
        if layer.given_counts is None
    ]

    def choose(budget: float) -> list[Planned]:
        counts = allocate(options, budget)
        return [
            _planned(
                layer,
                layer.settings.lowering,
                counts[layer.name] if layer.given_counts is None else layer.given_counts,
            )
            for layer in layers
        ]

    return choose


def epsilon_points(
    layers: Sequence[Weighed], energy: Callable[[Weighed], np.ndarray], epsilon: float
) -> dict[str, np.ndarray]:
    """The paper's rule per channel; layers that share a channel order serve every row up to the last that needs it.

    Args:
        layers: to choose for; those whose points are given keep their counts.
        energy: mean squared output of a layer's rows, (C,).
        epsilon: relative error allowed.
    """
    result = {}
    for layer in layers:
        counts = layer.given_counts
        if counts is None:
            counts = up_to_last(epsilon_counts(layer.errors, energy(layer), epsilon), layer.order)
        result[layer.name] = counts
    return result


def base_bytes(layers: Sequence[Rounded]) -> float:
    """Bytes of all one-point rows of the layers below 8 bits: what ExtraBits is a fraction of."""
    return sum(layer.layer.channels * layer.row_bytes for layer in layers if layer.settings.bits < 8)


# ---------------------------------------------------------------- what it costs


def int8_for_speed(plan: Sequence[Planned]) -> set[str]:
    """Layers that could be stored as INT4 but are not, to keep the latency budget: bytes beyond that of points."""
    split, fused = FORMS["split"], FORMS["fused"]
    return {layer.name for layer in plan if layer.lowering == fused.name and split in candidate_forms(layer)}


def further_bytes(plan: Sequence[Planned]) -> dict[str, float]:
    """Layer name -> bytes of its further points that a budget pays for."""
    uncounted = int8_for_speed(plan)
    return {x.name: 0.0 if x.name in uncounted else int((x.counts - 1).sum()) * x.row_bytes for x in plan}
