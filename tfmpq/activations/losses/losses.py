"""What int8 loses of every activation: its own rounding, before any of it adds up, and what would lose less.

Each tensor of the float model is rounded as its int8 file holds it, on the values that the float model computes. So a
figure is of one tensor and its scale alone; no weight has a part in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError
from converters.layers.counterparts import find_counterparts
from converters.rewriting.two_points import holdable
from converters.tflite.graph import Graph, Model, Op, Tensor, TensorType
from tfmpq.activations.losses.channel_counts import channel_counts
from tfmpq.activations.losses.rounding import (
    Cure,
    Grid,
    Range,
    Values,
    beside_mask,
    cure_of,
    figures,
    some_rows,
    within,
)
from tfmpq.activations.values.inner_values import in_parts, inner_values

SAMPLES = 8  # a tensor has thousands of values in each
# Integers are passed on as they are: what was lost was lost before.
_MOVES = {
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "GATHER",
    "GATHER_ND", "PAD", "PADV2", "MIRROR_PAD", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "TILE", "BROADCAST_TO",
    "REVERSE_V2", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND",
}  # fmt: skip
_SATURATES = {"SOFTMAX", "LOGISTIC", "TANH"}
# Operators through which channels can be scaled, whether they write a tensor or read it.
_SCALES = {
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "RELU", "RELU6", "LEAKY_RELU", "PRELU", "ADD",
    "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "PAD", "CONCATENATION", "RESHAPE",
}  # fmt: skip


@dataclass(frozen=True)
class TensorLoss:
    """One activation.

    Attributes:
        tensor: its name in the float model.
        layer: the layer that writes it; an input's own name.
        op: operator that writes it, ``INPUT`` for the model's inputs.
        output: whether it is one of the model's outputs.
        step: of its integers.
        sqnr_db: variance of its channels to its own rounding, each channel as much as the weights behind it count it
            (:mod:`tfmpq.activations.losses.channel_counts`); where a mask stands beside other values, of those alone.
        with_mean_db: the same, the mean of channels being signal too: large where they hardly vary.
        by_channel_db: ``sqnr_db`` if every channel had a scale of its own.
        channels: how many it has, along its last axis.
        lost_channels: those that vary in float, and are one value in integers.
        cure: what would make it better.
        range: with ``"range"``: what its integers had better cover.
    """

    tensor: str
    layer: str
    op: str
    output: bool
    step: float
    sqnr_db: float
    with_mean_db: float
    by_channel_db: float
    channels: int
    lost_channels: int
    cure: Cure
    range: Range | None = None


def _impossible(tensor: Tensor, frozen: Collection[Tensor], held: Mapping[str, str | None]) -> Iterator[Cure]:
    if tensor in frozen:
        yield "equalize"
    if held.get(tensor.name) is not None:
        yield "two points"


@dataclass(frozen=True)
class _Activation:
    """A tensor of the float model (None: an input, whose values are given) and its integers."""

    tensor: Tensor
    op: Op | None
    layer: str
    grid: Grid


def activation_losses(
    model: Model,
    base: Model,
    samples: Sequence[Mapping[str, np.ndarray]],
    *,
    tried: Collection[Cure] = (),
    factors: Mapping[Tensor, np.ndarray] | None = None,
) -> tuple[TensorLoss, ...]:
    """Looks at all activations of a float model that its int8 file holds as integers.

    Args:
        model: float.
        base: the int8 file of it.
        samples: float feeds by input name, with batch dimension; at most :data:`SAMPLES` of them are run.
        tried: cures that the int8 file has had: where they are not enough, others are named.
        factors: (channels,) by which the channels of tensors are scaled in the int8 file.

    Returns:
        In graph order; nothing where the model cannot be run, which other stages say better, and nothing of tensors
        whose values do not vary.
    """
    found = list(_activations(model, base))
    if not samples or all(entry.op is None for entry in found):
        return ()
    try:
        values = _values(model, found, samples[:SAMPLES])
    except FileFormatError:
        return ()
    frozen, counted, held = _frozen(model.graph), channel_counts(model.graph), holdable(model)
    outputs, saturating = frozenset(model.graph.outputs), _saturating(model.graph)
    result = []
    for entry in found:
        rows = values.get(entry.tensor, np.empty((0, 1))).astype(np.float64)
        if len(rows) > 1 and np.isfinite(rows).all() and np.ptp(rows, axis=0).any():
            impossible = _impossible(entry.tensor, frozen, held)
            counts = counted.get(entry.tensor, np.empty(0))
            if counts.size != rows.shape[1]:  # of a size that the file leaves open
                counts = np.ones(rows.shape[1])
            if factors is not None and entry.tensor in factors:
                rows, counts = rows * factors[entry.tensor], counts / np.square(factors[entry.tensor])
            output, mask = entry.tensor in outputs, beside_mask(rows, entry.grid.step)
            cut = within(rows, entry.grid) if mask is None and entry.tensor in saturating else None
            seen = Values(rows, counts, cut if mask is None else mask)
            masked = mask is not None and not output
            result.append(_rate(entry, seen, output=output, excluded=[*tried, *impossible], mask=masked))
    return tuple(result)


def _activations(model: Model, base: Model) -> Iterator[_Activation]:
    readers = base.graph.consumers()
    by_name = {tensor.name: tensor for tensor in base.graph.inputs}
    known = {tensor: name for signature in model.signatures[:1] for name, tensor in signature.inputs}
    for tensor in model.graph.inputs:
        twin = by_name.get(tensor.name)
        if twin is not None and twin.type == TensorType.FLOAT32:  # float for the caller, and integers at once
            twin = next((op.outputs[0] for op in readers.get(twin, []) if op.name == "QUANTIZE"), twin)
        grid = None if twin is None else Grid.of(twin)
        if grid is not None and tensor.type == TensorType.FLOAT32:
            yield _Activation(tensor, None, known.get(tensor, tensor.name), grid)
    for first, second in find_counterparts(model, base).pairs:
        grid = Grid.of(second.output)
        op = first.ops[-1]
        if grid is not None and first.output.type == TensorType.FLOAT32 and op.name not in _MOVES:
            yield _Activation(first.output, op, first.layer, grid)


def _values(
    model: Model, found: Sequence[_Activation], samples: Sequence[Mapping[str, np.ndarray]]
) -> dict[Tensor, np.ndarray]:
    """Some values of every tensor, float32 (positions, channels)."""
    parts: dict[Tensor, list[np.ndarray]] = {entry.tensor: [] for entry in found}
    for together in in_parts(parts):
        for values in inner_values(model, together, samples):
            for tensor, value in values.items():
                parts[tensor].append(some_rows(value))
    return {tensor: np.concatenate(rows) for tensor, rows in parts.items() if len({x.shape[1] for x in rows}) == 1}


def _saturating(graph: Graph) -> set[Tensor]:
    """Tensors whose readers make nothing of values beyond some size: ranges may leave those out."""
    readers = graph.consumers()
    return {t for t, ops in readers.items() if all(op.name in _SATURATES for op in ops)}


def _frozen(graph: Graph) -> set[Tensor]:
    """Tensors whose channels cannot be scaled, because of what writes or reads them."""
    readers = graph.consumers()
    fixed = {t for op in graph.ops for t in op.outputs if op.name not in _SCALES}
    read = {t for t, ops in readers.items() if any(op.name not in _SCALES for op in ops)}
    return fixed | read | {*graph.inputs, *graph.outputs}


def _rate(entry: _Activation, seen: Values, *, output: bool, excluded: Collection[Cure], mask: bool) -> TensorLoss:
    grid = entry.grid
    own, by_channel, lost = figures(seen, grid)
    cure, span = ("mask", None) if mask else cure_of(seen, own, by_channel, output=output, excluded=excluded)
    op = "INPUT" if entry.op is None else entry.op.name
    return TensorLoss(
        tensor=entry.tensor.name,
        layer=entry.layer,
        op=op,
        output=output,
        step=grid.step,
        sqnr_db=own,
        with_mean_db=seen.with_mean(grid.rounded(seen.rows)),
        by_channel_db=by_channel,
        channels=seen.rows.shape[1],
        lost_channels=lost,
        cure=cure,
        range=span,
    )
