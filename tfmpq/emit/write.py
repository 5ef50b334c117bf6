"""From a plan to file bytes: channel order, ranges of partial outputs, lowering, metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import LoweringError
from converters.frontend.float_model import FloatModel
from converters.layers.find import find_layers
from converters.layers.layer import Layer
from converters.layers.permutation import ChannelGroup, channel_groups, permute_graph, weight_orders
from converters.lowering.fused import lower_fused
from converters.lowering.parallel import Storage, lower_parallel
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.ranges import PartialKey, partial_probe
from converters.lowering.result import Lowered
from converters.lowering.split import can_gather, can_store_int4, int8_rows, lower_split
from converters.points import MultipointWeight, merge
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, Tensor
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record
from converters.tflite.writer import save
from tfmpq.measure.moments import Samples
from tfmpq.plan.allocation import joint_order
from tfmpq.plan.layer_plan import Fallback, Plan
from tfmpq.progress import Progress
from tfmpq.threads import INFERENCE_THREADS

_GATHERED_BYTES = 2500  # the operators, tensors and names of a layer of two segments and a GATHER
METADATA_SHARE = 0.005  # of the file; what does not fit is left out, least important first


@dataclass(frozen=True)
class Rows:
    """Points of one layer in the model's own channel order."""

    weight: MultipointWeight
    biases: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Emission:
    """An emitted file and how its layers came out."""

    content: bytes
    lowered: tuple[Lowered, ...]
    fallbacks: tuple[Fallback, ...]


@dataclass(frozen=True)
class ChannelFreedom:
    """How a layer's rows may be ordered in the parallel form.

    Attributes:
        groups: the channel groups of its outputs (one a use, usually all the same).
        frozen: why the order must stay, or None.
    """

    groups: tuple[ChannelGroup, ...]
    frozen: str | None


def channel_freedom(
    segments: Mapping[Tensor, tuple[ChannelGroup, ...]], layers: Sequence[Layer]
) -> dict[str, ChannelFreedom]:
    """Which layers can have their rows reordered; ``segments`` are the channel groups of the layers' int8 graph."""
    result = {}
    for layer in layers:
        found = [segments[use.int8_op.outputs[0]] for use in layer.uses]
        groups = tuple(dict.fromkeys(group for item in found for group in item))
        reason = layer.kind.full_width(layer) or next((g.frozen for g in groups if g.frozen), None)
        if reason is None and len(groups) != 1:
            reason = "its channels belong to several groups"
        result[layer.name] = ChannelFreedom(groups, reason)
    return result


def shared_orders(freedom: Mapping[str, ChannelFreedom], gains: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Joint channel ranking for layers that share their channel order with another multi-point layer.

    Args:
        freedom: of all layers.
        gains: layer name -> (C,) gain of a second point, for the layers that may have several points.

    Returns:
        layer name -> ranking, only for layers that are not alone in their group.
    """
    members: dict[ChannelGroup, list[str]] = {}
    for name in gains:
        if freedom[name].frozen is None:
            members.setdefault(freedom[name].groups[0], []).append(name)
    result = {}
    for names in members.values():
        if len(names) > 1:
            order = joint_order([gains[n] for n in names])
            result.update(dict.fromkeys(names, order))
    return result


def emit(
    float_model: Model,
    stock: bytes,
    rows: Mapping[str, Rows],
    plan: Plan,
    *,
    find: Callable[[Model, Model], Sequence[Layer]],
    orders: Mapping[str, np.ndarray],
    storage: Storage,
    samples: Samples | None,
    count: int,
    metadata: Mapping[str, object],
    progress: Progress,
) -> Emission:
    """Writes the file of a plan.

    Args:
        float_model: the float model, for the ranges of partial outputs.
        stock: the stock int8 file that is rewritten.
        rows: points of every planned layer.
        plan: lowering of every planned layer.
        find: matches layers of (float model, int8 model).
        orders: joint rankings from :func:`shared_orders`.
        storage: how the parallel form stores its points.
        samples: calibration data for the ranges; None writes placeholder ranges, for files of which only the size
            is wanted.
        count: number of samples.
        metadata: recipe and version for the file's own record.
        progress: shows the pass over the samples.

    Raises:
        LoweringError: A layer asked to be fused has points that do not merge.
    """
    model = load(stock)
    graph = model.graph
    layers = {layer.name: layer for layer in find(float_model, model) if layer.name in rows}
    segments = channel_groups(graph)
    freedom = channel_freedom(segments, list(layers.values()))
    forms, fallbacks = _choose_forms(layers, rows, plan, freedom, storage)
    group_orders = _group_orders(layers, rows, forms, freedom, orders)
    ranges = _partial_ranges(float_model, layers, rows, forms, samples, count, progress)
    column_orders = {
        name: weight_orders(layer.uses[0].int8_op, segments, group_orders) for name, layer in layers.items()
    }
    permute_graph(graph, segments, group_orders)
    model.attachments = float_model.attachments  # TensorFlow's quantizer drops them
    lowered = []
    for name, layer in layers.items():
        row_order, column_order = column_orders[name]
        weight = rows[name].weight.permuted(row_order, column_order)
        biases = tuple(b if row_order is None else b[row_order] for b in rows[name].biases)
        quantized = QuantizedLayer(layer, weight, biases)
        form = forms[name]
        if form == "fused":
            lowered.append(lower_fused(graph, quantized))
        elif form == "split":
            lowered.append(lower_split(graph, quantized))
        elif form in ("gathered", "compact"):
            order = np.argsort(-quantized.weight.counts, kind="stable")
            sorted_rows = QuantizedLayer(layer, weight.permuted(order, None), tuple(b[order] for b in biases))
            restore = np.argsort(order)
            if form == "gathered":
                lowered.append(lower_split(graph, sorted_rows, restore=restore))
            else:
                lowered.append(lower_parallel(graph, sorted_rows, ranges, storage=storage, restore=restore))
        else:
            full = form == "full width"
            lowered.append(lower_parallel(graph, quantized, ranges, storage=storage, full_width=full))
    _add_metadata(model, metadata, plan, forms)
    return Emission(save(model), tuple(lowered), tuple(fallbacks))


def _choose_forms(
    layers: Mapping[str, Layer],
    rows: Mapping[str, Rows],
    plan: Plan,
    freedom: Mapping[str, ChannelFreedom],
    storage: Storage,
) -> tuple[dict[str, str], list[Fallback]]:
    """fused, split, parallel, full width, or gathered or compact: split or parallel with rows put back in order."""
    forms: dict[str, str] = {}
    fallbacks = []
    for name, layer in layers.items():
        asked, weight, frozen = plan.layers[name].settings.lowering, rows[name].weight, freedom[name].frozen
        choose = {"fused": lambda *_: ("fused", None), "split": _split_form, "parallel": _parallel_form}[asked]
        forms[name], reason = choose(layer, weight, frozen)
        if storage == "int4" and forms[name] == "fused" and reason and _gains_by_gather(layer, weight):
            forms[name], reason = "compact", None
        if reason:
            used = {"fused": "one int8 op", "full width": "parallel ops over all rows"}.get(forms[name], forms[name])
            fallbacks.append(Fallback(name, asked, used, reason))
    return forms, fallbacks


def _gains_by_gather(layer: Layer, weight: MultipointWeight) -> bool:
    """Whether the compact form of a layer whose order must stay is smaller with a GATHER behind it than as int8."""
    if weight.bits > 4 or layer.kind.per_channel or not layer.kind.has_int4 or layer.kind.full_width(layer):
        return False
    rows, columns = weight.shape
    return (rows - int(weight.counts.sum() - rows)) * columns / 2 > _GATHERED_BYTES


def _parallel_form(layer: Layer, weight: MultipointWeight, frozen: str | None) -> tuple[str, str | None]:
    """(form, why it is not the parallel one)."""
    several = weight.counts.max() > 1
    if not several and weight.bits > 4:
        return "fused", None
    if not several or frozen is None or weight.counts.min() == weight.counts.max():
        return "parallel", None  # also where all rows have equally many points: there is nothing to reorder
    return "fused" if merge(weight) is not None else "full width", f"the channel order must stay: {frozen}"


def _split_form(layer: Layer, weight: MultipointWeight, frozen: str | None) -> tuple[str, str | None]:
    """(form, why it is not the split one)."""
    if merge(weight) is None:
        form, _ = _parallel_form(layer, weight, frozen)
        return form, "its points do not merge into int8 rows"
    if weight.bits > 4 or int8_rows(weight.counts) == layer.channels:
        return "fused", None  # int8 rows only
    if not can_store_int4(layer, layer.channels, weight.bits):
        return "fused", "no 1x1 convolution with stride 1 or dense layer with an even number of inputs"
    if int8_rows(weight.counts) == 0 or frozen is None:
        return "split", None
    return ("gathered", None) if can_gather(layer) else ("fused", f"the channel order must stay: {frozen}")


def _group_orders(
    layers: Mapping[str, Layer],
    rows: Mapping[str, Rows],
    forms: Mapping[str, str],
    freedom: Mapping[str, ChannelFreedom],
    orders: Mapping[str, np.ndarray],
) -> dict[ChannelGroup, np.ndarray]:
    """Channel order of each group that holds a parallel layer with mixed rows: more points first."""
    result: dict[ChannelGroup, np.ndarray] = {}
    for name in layers:
        counts = rows[name].weight.counts
        if forms[name] not in ("parallel", "split") or counts.min() == counts.max():
            continue
        order = orders.get(name)
        if order is None:
            order = np.argsort(-counts, kind="stable")
        if (np.diff(counts[order]) > 0).any():
            raise LoweringError(f"layer {name!r}: points per row are no prefix of the channel order it shares.")
        result[freedom[name].groups[0]] = order
    return result


def _partial_ranges(
    float_model: Model,
    layers: Mapping[str, Layer],
    rows: Mapping[str, Rows],
    forms: Mapping[str, str],
    samples: Samples | None,
    count: int,
    progress: Progress,
) -> dict[PartialKey, tuple[float, float]]:
    wanted = [
        QuantizedLayer(layer, rows[name].weight, rows[name].biases)
        for name, layer in layers.items()
        if forms[name] in ("parallel", "full width", "compact") and rows[name].weight.counts.max() > 1
    ]
    if not wanted:
        return {}
    content, keys = partial_probe(float_model, wanted, {n for n, form in forms.items() if form == "full width"})
    low, high = np.zeros(len(keys)), np.zeros(len(keys))
    if samples is None:
        return dict.fromkeys(keys, (-1.0, 1.0))
    interpreter = make_interpreter(content, threads=INFERENCE_THREADS)
    for feeds in progress(samples(), count, "ranges of partial outputs"):
        values = run(interpreter, feeds)
        low = np.minimum(low, [float(v.min()) for v in values])
        high = np.maximum(high, [float(v.max()) for v in values])
    return {key: (float(a), float(b)) for key, a, b in zip(keys, low, high, strict=True)}


def _add_metadata(model: Model, metadata: Mapping[str, object], plan: Plan, forms: Mapping[str, str]) -> None:
    """A record for `tfmpq inspect`, at most half a percent of the file; the version always, for `tfmpq expand`."""
    layers = {
        name: [
            p.settings.bits,
            p.settings.algorithm,
            forms[name],
            *(p.histogram().get(n, 0) for n in range(1, int(p.counts.max()) + 1)),
        ]
        for name, p in plan.layers.items()
        if name in forms
    }
    room = METADATA_SHARE * len(save(model)) - 64  # 64: the entry's own tables
    *records, least = map(pack_record, ({**metadata, "layers": layers}, metadata, {"version": metadata["version"]}))
    model.metadata[METADATA_NAME] = next((packed for packed in records if len(packed) <= room), least)


def match_layers(model: FloatModel) -> Callable[[Model, Model], Sequence[Layer]]:
    """`find` of :func:`emit` for a model's naming."""
    return lambda first, second: find_layers(
        first.graph,
        second.graph,
        names=model.names,
    )[0]
