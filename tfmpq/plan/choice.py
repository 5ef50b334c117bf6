"""The forms a layer can be written in, what each costs on a target, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.errors import BudgetError
from converters.layers.layer import Layer
from converters.lowering.split import can_gather, can_store_int4, positions
from converters.targets import Target, add_work, concat_work, dense_work, gather_work, predict, with_rows, work_of
from converters.tflite.graph import Graph
from converters.tflite.reader import load
from tfmpq.emit.write import ChannelFreedom
from tfmpq.plan.layer_plan import LayerPlan, Plan
from tfmpq.plan.tradeoff import Form, LayerChoice, trade
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import row_bytes

STOCK_SPEED = 1.02  # what "auto" keeps to unless told otherwise; measured files have been at or below it
_ROW_BYTES = 8  # scale and bias
_OP_BYTES = 450  # an operator with its tensors and their names


@dataclass(frozen=True)
class FormCost:
    """Constants in the file and predicted time of one layer in one form."""

    bytes: float
    microseconds: float


Segments = Sequence[tuple[int, int]]  # (points, rows), more points first


def segments_of(counts: np.ndarray) -> Segments:
    """Rows of a layer by their number of points."""
    values, rows = np.unique(counts, return_counts=True)
    return [(int(v), int(n)) for v, n in zip(values[::-1], rows[::-1], strict=True)]


def form_cost(layer: Layer, form: str, segments: Segments, bits: int, target: Target, *, gather: bool) -> FormCost:
    """What ``segments`` cost in a form.

    Args:
        layer: with its ops in the stock int8 graph.
        form: ``fused``, ``split`` or ``parallel``; what cannot be split or has nothing to split counts as fused.
        segments: rows by points.
        bits: of a point.
        target: cost table.
        gather: whether the rows of a split layer have to be put back in order.
    """
    columns, channels, uses = layer.weight.shape[1], layer.channels, len(layer.uses)
    several = sum(rows for points, rows in segments if points > 1)
    low = can_store_int4(layer, 2, bits)
    # A single INT4 row cannot be written, and rows of more than 4 bits with one point are no segments either.
    unsplit = form == "split" and (not low or several >= channels - 1)
    if form == "fused" or unsplit or (form == "parallel" and not several and bits > 4):
        time = sum(target.microseconds(work_of(use.int8_op)) for use in layer.uses)
        return FormCost(channels * (columns + _ROW_BYTES), time)
    count = positions(layer)

    def dense(rows: int, weights: str) -> float:
        return target.microseconds(dense_work(positions=count, columns=columns, rows=rows, weights=weights))

    if form == "split":
        size = several * columns + (channels - several) * columns / 2 + channels * _ROW_BYTES
        time = dense(channels - several, "INT4")
        if several:
            time += dense(several, "INT8") + target.microseconds(concat_work(positions=count, channels=channels))
            size += 2 * _OP_BYTES
        if several and gather:
            time += target.microseconds(gather_work(positions=count, channels=channels))
            size += _OP_BYTES + 4 * channels
        return FormCost(size, uses * time)

    size = time = 0.0
    for points, rows in segments:
        if low and rows >= 2:
            time += uses * points * dense(rows, "INT4")
            size += points * rows * (columns / 2 + _ROW_BYTES)
        else:
            time += points * sum(target.microseconds(with_rows(work_of(use.int8_op), rows)) for use in layer.uses)
            size += points * rows * (columns + _ROW_BYTES)
        time += uses * (points - 1) * target.microseconds(add_work(positions=count, channels=rows))
        size += (2 * points - 1) * _OP_BYTES
    if len(segments) > 1:
        time += uses * target.microseconds(concat_work(positions=count, channels=channels))
    return FormCost(size, time)


def forms_of(layer: Layer, settings: LayerSettings, *, mergeable: bool) -> tuple[str, ...]:
    """Forms a layer may take, the smallest first."""
    if settings.lowering == "parallel" or not mergeable:
        return ("parallel",)
    if settings.lowering == "fused" or not can_store_int4(layer, 2, settings.bits):
        return ("fused",)
    return ("split",) if settings.lowering == "split" else ("split", "fused")


def orders_rows(layer: Layer, settings: LayerSettings, *, mergeable: bool) -> bool:
    """Whether rows with several points must be neighbours in a form the layer may take."""
    return settings.max_points > 1 and forms_of(layer, settings, mergeable=mergeable) != ("fused",)


@dataclass(frozen=True)
class Chooser:
    """Chooses points and forms of all layers together.

    Attributes:
        layers: the layers to choose for.
        settings: of every layer.
        gains: layer name -> (C, max_points - 1).
        orders: layer name -> ranking shared with other layers.
        freedom: how rows may be ordered.
        mergeable: layer name -> whether rows with several points merge into int8 rows.
        target: cost table.
        stock: main graph of the stock int8 file.
        max_ratio: latency budget relative to stock; None: ``STOCK_SPEED``, as far as it can be kept.
        int4: whether points may be stored as INT4.
        fixed: layer name -> points of each row, where they are not to be chosen.
    """

    layers: Sequence[Layer]
    settings: Mapping[str, LayerSettings]
    gains: Mapping[str, np.ndarray]
    orders: Mapping[str, np.ndarray]
    freedom: Mapping[str, ChannelFreedom]
    mergeable: Mapping[str, bool]
    target: Target
    stock: Graph
    max_ratio: float | None = None
    int4: bool = True
    fixed: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def has_choice(self) -> bool:
        """Whether forms or a latency budget have to be weighed, not only points."""
        return self.max_ratio is not None or any(self.settings[x.name].lowering == "auto" for x in self.layers)

    def limited(self, max_ratio: float | None, *, int4: bool) -> Chooser:
        """The same under a latency budget."""
        return replace(self, max_ratio=max_ratio, int4=int4)

    def within(self) -> Callable[[float], Plan]:
        """Bytes of further points -> plan."""
        choices = [self._choice(layer, self.fixed.get(layer.name)) for layer in self.layers]
        return lambda budget: self._plan(choices, budget)

    def forms(self, plan: Plan) -> Plan:
        """The same points, each layer in the best form."""
        choices = [self._choice(layer, plan.layers[layer.name].counts) for layer in self.layers]
        chosen = self._plan(choices, 0.0)
        return Plan({n: replace(p, counts=plan.layers[n].counts) for n, p in chosen.layers.items()})

    def int8_for_speed(self, plan: Plan) -> set[str]:
        """Layers that could be stored as INT4 but are not, to keep the latency budget: bytes beyond that of points."""
        return {
            layer.name
            for layer in self.layers
            if plan.layers[layer.name].settings.lowering == "fused"
            and "split" in forms_of(layer, self.settings[layer.name], mergeable=self.mergeable[layer.name])
        }

    def cost(self, layer: Layer, form: str, counts: np.ndarray) -> FormCost:
        """What a layer costs in a form, or in the one it falls back to."""
        segments, frozen = segments_of(counts), self.freedom[layer.name].frozen is not None
        if not self.mergeable[layer.name]:
            form = "parallel"
        elif frozen and len(segments) > 1 and not (form == "split" and can_gather(layer)):
            form = "fused"
        return form_cost(layer, form, segments, self.settings[layer.name].bits, self.target, gather=frozen)

    def _plan(self, choices: Sequence[LayerChoice], budget: float) -> Plan:
        whole = predict(self.stock, self.target)
        stock = sum(self.target.microseconds(work_of(use.int8_op)) for layer in self.layers for use in layer.uses)
        rest = whole - stock
        limit = (STOCK_SPEED if self.max_ratio is None else self.max_ratio) * whole - rest
        chosen = trade(choices, budget, limit)
        if self.max_ratio is not None and chosen.time > limit:
            raise BudgetError(
                f"max_latency_ratio={self.max_ratio:g}: with these lowerings the fastest file is predicted to take "
                f"{(rest + chosen.time) / whole:.3f} of stock int8's time on target {self.target.name!r}. Raise it, or "
                "use lowering='auto' or 'fused'."
            )
        result = {}
        for layer, choice in zip(self.layers, choices, strict=True):
            found = chosen.layers[layer.name]
            counts = self.fixed.get(layer.name)
            if counts is None:
                counts = 1 + np.bincount(choice.order[: found.steps], minlength=layer.channels)
            result[layer.name] = LayerPlan(replace(self.settings[layer.name], lowering=found.form), counts)
        return Plan(result)

    def _choice(self, layer: Layer, counts: np.ndarray | None = None) -> LayerChoice:
        """What there is to choose: rows served in their shared order or by falling gain, or only the form."""
        settings, gains = self.settings[layer.name], self.gains[layer.name]
        channels, levels = (layer.channels, 0) if counts is not None else gains.shape
        shared = self.orders.get(layer.name)
        ranked = [shared if shared is not None else np.argsort(-gains[:, n], kind="stable") for n in range(levels)]
        order = np.concatenate([np.zeros(0, np.int64), *ranked])
        by_step = np.concatenate([np.zeros(0), *(gains[rows, n] for n, rows in enumerate(ranked))])
        several = [segments_of(counts)] if counts is not None else _all_segments(channels, len(order))
        frozen = self.freedom[layer.name].frozen is not None
        names = forms_of(layer, settings, mergeable=self.mergeable[layer.name])
        int4 = self.int4 and self.target.supports("FULLY_CONNECTED", "INT4")
        if not int4 and settings.lowering == "auto" and "fused" in names:
            names = ("fused",)
        forms = []
        for name in names:
            blocked = name == "split" and frozen and not can_gather(layer)
            # One int8 op takes the same time whatever its rows' points.
            time = np.array(
                [
                    np.inf
                    if blocked and 0 < sum(rows for points, rows in s if points > 1) < channels - 1
                    else form_cost(layer, name, s, settings.bits, self.target, gather=frozen).microseconds
                    for s in (several[:1] if name == "fused" else several)
                ]
            )
            time = np.broadcast_to(time, len(several))
            beyond = name == "fused" and len(names) > 1
            if beyond:  # int8 for speed alone: then its rows may as well have all their points
                time = np.where(np.arange(len(several)) == len(order), time, np.inf)
            forms.append(Form(name, time, beyond))
        return LayerChoice(layer.name, order, by_step, row_bytes(layer, settings), tuple(forms))


def _all_segments(channels: int, steps: int) -> list[Segments]:
    """Rows by points after 0..steps further points, level by level."""
    result: list[Segments] = []
    for step in range(steps + 1):
        full, some = divmod(step, channels)
        result.append([(full + 2, some), (full + 1, channels - some)] if some else [(full + 1, channels)])
    return result


@dataclass(frozen=True)
class LoweringCost:
    """What a lowering of all layers would make of the same points.

    Attributes:
        lowering: its name; ``"as written"``: the file at hand.
        bytes: size of the file (for the others: about).
        latency_ratio: predicted latency relative to stock int8.
    """

    lowering: str
    bytes: int
    latency_ratio: float


def lowering_costs(chooser: Chooser, plan: Plan, file: bytes) -> tuple[LoweringCost, ...]:
    """What the plan's points cost in ``file``, which holds them, and about in every lowering of all layers."""
    target, whole = chooser.target, predict(chooser.stock, chooser.target)
    written = predict(load(file).graph, target)
    result = [LoweringCost("as written", len(file), written / whole)]
    for lowering in ("fused", "split", "parallel"):
        size, time = float(len(file)), written
        for layer in chooser.layers:
            before = chooser.cost(layer, plan.layers[layer.name].settings.lowering, plan.layers[layer.name].counts)
            after = chooser.cost(layer, lowering, plan.layers[layer.name].counts)
            size += after.bytes - before.bytes
            time += after.microseconds - before.microseconds
        result.append(LoweringCost(lowering, round(size), time / whole))
    return tuple(result)
