"""Weights that several graphs of a file read: prefill and decode of a language model, the body of a loop."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.layers.channel_groups import ChannelGroup, Segments
from converters.layers.kinds import kind_of, weights_of
from converters.layers.layer import Layer, OtherUse, Skipped
from converters.tflite.calls import graph_label
from converters.tflite.graph import Model, Op, Tensor, TensorType

NO_DATA = "for which there are no data"


def share_layers(layers: Sequence[Layer], base: Model) -> tuple[list[Layer], list[Skipped]]:
    """Layers of the main graph with their uses in other graphs; those that cannot change there stay as they are.

    Args:
        layers: found in the main graph.
        base: the twin, as read from a file: what is one buffer there is one object.

    Returns:
        (layers, those that stay int8, and why).
    """
    readers = _readers(base)
    found: list[Layer] = []
    skipped: list[Skipped] = []
    for layer in layers:
        weight = layer.uses[0].int8_op.input(layer.site.weight)
        others = [
            (number, op, _other_use(layer, weight, number, op)) for number, op in readers.get(id(weight.data), ())
        ]
        reason = next((_otherwise(base, number, op) for number, op, use in others if use is None), None)
        uses = tuple(use for _, _, use in others if use is not None)
        dense = {use.graph for use in uses if use.lookup is None}
        if reason is None and any(use.graph not in dense for use in uses):
            reason = "another graph of the file only looks up its rows, and both stay one int8 table"
        if reason is not None:
            skipped.append(Skipped(layer.name, layer.uses[0].float_op.name, reason))
        else:
            found.append(replace(layer, elsewhere=uses) if uses else layer)
    return found, skipped


def _otherwise(base: Model, number: int, op: Op) -> str:
    return f"{op.name} of {graph_label(base, number)} reads its weight in another way, and both stay one int8 weight"


def unmeasured(layers: Sequence[Layer], base: Model, chosen: Collection[int]) -> list[Skipped]:
    """Int8 weights of other graphs that are no layer's: there are no data for them.

    Args:
        layers: of the main graph, with their uses elsewhere.
        base: the twin.
        chosen: numbers of the graphs whose weights were to change.
    """
    known = {use.op for layer in layers for use in layer.elsewhere}
    main = {id(t.data) for op in base.graph.ops for t in weights_of(op)}
    found: dict[int, Skipped] = {}
    for number in sorted(set(chosen).difference([0])):
        for op in base.graphs[number].ops:
            for tensor in weights_of(op):
                if op not in known and tensor.type == TensorType.INT8 and id(tensor.data) not in main:
                    reason = f"it is in {graph_label(base, number)} only, {NO_DATA}"
                    found.setdefault(id(tensor.data), Skipped(tensor.name, op.name, reason))
    return list(found.values())


def in_place(groups: Mapping[Tensor, Segments], layers: Sequence[Layer]) -> Mapping[Tensor, Segments]:
    """The channel groups, all frozen where layers are in other graphs too, whose orders would have to follow."""
    if not any(layer.elsewhere for layer in layers):
        return groups
    reason = "other graphs of the file read the same weights"
    held: dict[ChannelGroup, ChannelGroup] = {}
    for group in (group for segments in groups.values() for group in segments):
        held.setdefault(group, ChannelGroup(group.size, group.frozen or reason))
    return {tensor: tuple(held[group] for group in segments) for tensor, segments in groups.items()}


def _readers(base: Model) -> dict[int, list[tuple[int, Op]]]:
    """Ops of other graphs than the main one by what they read."""
    found: dict[int, list[tuple[int, Op]]] = {}
    for number, graph in enumerate(base.graphs[1:], start=1):
        for op in graph.ops:
            for tensor in {id(t.data): t for t in op.inputs if t is not None and t.data is not None}.values():
                found.setdefault(id(tensor.data), []).append((number, op))
    return found


def _other_use(layer: Layer, weight: Tensor, number: int, op: Op) -> OtherUse | None:
    """How an op of another graph computes with a layer's weight; None if it does it in another way."""
    kind = kind_of(op)
    if kind is None or len(op.inputs) <= kind.site.weight or not layer.reads_float:
        return None
    other, activation = op.input(kind.site.weight), op.input(kind.site.activation)
    if other.data is not weight.data or (other.type, other.shape) != (weight.type, weight.shape):
        return None
    scales = [tensor.quantization.scale for tensor in (other, weight) if tensor.quantization is not None]
    if len(scales) != 2 or not np.array_equal(scales[0], scales[1]):
        return None
    if kind.table and layer.lookups:
        return OtherUse(number, op, np.zeros(layer.channels, np.float32), kind.site)
    if kind is not layer.kind or not (kind.table or activation.type == TensorType.FLOAT32):
        return None
    geometry, groups = kind.geometry(op, other.shape), kind.groups(activation.shape[-1], other.shape)
    same = (geometry, groups) == (layer.geometry, layer.groups)
    return OtherUse(number, op, _bias(layer, op)) if same else None


def _bias(layer: Layer, op: Op) -> np.ndarray:
    given = op.optional_input(layer.site.bias)
    if given is None:
        return np.zeros(layer.channels, np.float32)
    return given.array().astype(np.float32).reshape(-1)
