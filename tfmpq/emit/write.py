"""From planned layers to written ones: channel order, ranges of partial outputs, lowering, metadata, file bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import LoweringError
from converters.layers.channel_groups import ChannelGroup
from converters.layers.layer import Layer
from converters.layers.permutation import permute_graph, weight_orders
from converters.lowering.form import Storage, Writing
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.ranges import PartialKey, partial_probe
from converters.lowering.restoring import restore_order
from converters.lowering.result import LoweredLayer
from converters.rewriting.filled_constants import fill_starts
from converters.rewriting.small_constants import shrink_constants
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model
from converters.tflite.record import METADATA_NAME, pack_record
from converters.tflite.writer import save
from tfmpq.measure.moments import Samples
from tfmpq.plan.layer_plan import Fallback
from tfmpq.progress import Progress
from tfmpq.stages import Network, Planned, Written, advance
from tfmpq.threads import INFERENCE_THREADS

ALWAYS = ("version", "equalized", "bias_scales")  # of the metadata: what tools cannot do without
METADATA_SHARE = 0.005  # of the file; what does not fit is left out, least important first


@dataclass(frozen=True, eq=False)
class Emission:
    """An emitted file and its layers."""

    content: bytes
    layers: tuple[Written, ...]

    @property
    def lowered(self) -> tuple[LoweredLayer, ...]:
        """What must stand in the file."""
        return tuple(layer.lowered for layer in self.layers)

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """Layers that were not written as planned, where there is something to say."""
        found = ((layer, layer.fallback) for layer in self.layers)
        return tuple(Fallback(x.name, x.lowering, x.form.used, reason) for x, reason in found if reason)


def emit(
    network: Network,
    plan: Sequence[Planned],
    *,
    storage: Storage,
    samples: Samples | None,
    count: int,
    metadata: Mapping[str, object],
    progress: Progress,
) -> Emission:
    """Writes the file of a plan.

    Args:
        network: float model and its int8 file; both stay as they are.
        plan: points and form of every layer that is not to stay as stock has it.
        storage: how points that stay apart are stored, outside the compact form.
        samples: calibration data for the ranges of partial outputs; None writes placeholder ranges, for files of which
            only the size is wanted.
        count: number of samples.
        metadata: recipe and version for the file's own record.
        progress: shows the pass over the samples.

    Raises:
        LoweringError: A layer asked to be fused has points that do not merge.
    """
    ranges = _partial_ranges(network.model, plan, samples, count, progress)
    copy = network.base.model.clone()
    model, graph = copy.model, copy.model.graph
    groups = {copy.tensors[tensor]: found for tensor, found in network.groups.items()}
    orders = _group_orders(plan)
    layers = [planned.layer.within(copy.ops) for planned in plan]
    reordered = [weight_orders(layer.uses[0].int8_op, groups, orders) for layer in layers]
    permute_graph(graph, groups, orders)
    for group, order in orders.items():
        for tensor in group.restored_at:
            restore_order(graph, copy.tensors[tensor], order)
    model.attachments = network.model.attachments  # TensorFlow's quantizer drops them
    written = [
        _write(model, planned, layer, moved, ranges, storage)
        for planned, layer, moved in zip(plan, layers, reordered, strict=True)
    ]
    fill_starts(graph)
    if any(layer.reads_float for layer in layers):
        shrink_constants(model)
    _add_metadata(model, metadata, written)
    return Emission(save(model), tuple(written))


def _write(
    model: Model,
    planned: Planned,
    layer: Layer,
    moved: tuple[np.ndarray | None, np.ndarray | None],
    ranges: Mapping[PartialKey, tuple[float, float]],
    storage: Storage,
) -> Written:
    """Writes a layer in all graphs of ``model`` that it is in; ``moved``: how its rows and columns stand there."""
    weight, biases = planned.points, planned.biases(planned.points)
    quantized = QuantizedLayer(layer, weight, biases).permuted(*moved)
    order = None
    if planned.form.order(planned.asked) == "restored":
        order = np.argsort(-quantized.weight.counts, kind="stable")
    # What stands in for the compact form is stored as that would be.
    stored: Storage = "int4" if planned.lowering == "compact" else storage
    writing = Writing(ranges, stored, None if order is None else np.argsort(order))
    lowered = planned.form.write(model.graph, quantized.permuted(order, None), writing)
    shift = biases[0] - layer.uses[0].bias  # what makes up for rounding here does so in other graphs
    elsewhere = {}
    for number in sorted({use.graph for use in layer.elsewhere}):
        there = layer.in_graph(number)
        quantized = QuantizedLayer(there, weight, tuple(use.bias + shift for use in there.uses)).permuted(*moved)
        elsewhere[number] = planned.form.write(model.graphs[number], quantized.permuted(order, None), writing)
    return advance(Written, planned, lowered=lowered, elsewhere=elsewhere)


def _group_orders(plan: Sequence[Planned]) -> dict[ChannelGroup, np.ndarray]:
    """Channel order of each group that holds a layer whose rows are to be sorted: more points first."""
    result: dict[ChannelGroup, np.ndarray] = {}
    for planned in plan:
        if planned.form.order(planned.asked) != "sorted":
            continue
        order = planned.order
        if order is None:
            order = np.argsort(-planned.counts, kind="stable")
        if (np.diff(planned.counts[order]) > 0).any():
            raise LoweringError(f"layer {planned.name!r}: points per row are no prefix of the channel order it shares.")
        result[planned.groups[0]] = order
    return result


def _partial_ranges(
    model: Model, plan: Sequence[Planned], samples: Samples | None, count: int, progress: Progress
) -> dict[PartialKey, tuple[float, float]]:
    wanted = [p for p in plan if p.form.partials(p.asked) and not p.layer.reads_float]
    if not wanted:
        return {}
    layers = [QuantizedLayer(p.layer, p.points, p.biases(p.points)) for p in wanted]
    content, keys = partial_probe(model, layers, {p.name for p in wanted if p.form.name == "full width"})
    low, high = np.zeros(len(keys)), np.zeros(len(keys))
    if samples is None:
        return dict.fromkeys(keys, (-1.0, 1.0))
    interpreter = make_interpreter(content, threads=INFERENCE_THREADS)
    for feeds in progress(samples(), count, "ranges of partial outputs"):
        values = run(interpreter, feeds)
        low = np.minimum(low, [float(v.min()) for v in values])
        high = np.maximum(high, [float(v.max()) for v in values])
    return {key: (float(a), float(b)) for key, a, b in zip(keys, low, high, strict=True)}


def _add_metadata(model: Model, metadata: Mapping[str, object], written: Sequence[Written]) -> None:
    """A record for `tfmpq inspect`, at most half a percent of the file; the version always, for `tfmpq expand`."""
    layers = {
        entry.name: [
            entry.settings.bits,
            entry.settings.algorithm,
            entry.form.recorded(entry.asked),
            *np.bincount(entry.counts)[1:].tolist(),
        ]
        for entry in written
    }
    room = METADATA_SHARE * len(save(model)) - 64  # 64: the entry's own tables
    always = {key: metadata[key] for key in ALWAYS if key in metadata}
    *records, least = map(pack_record, ({**metadata, "layers": layers}, metadata, always))
    model.metadata[METADATA_NAME] = next((packed for packed in records if len(packed) <= room), least)
