"""What to change in the next conversion so that the worst layers get better."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from converters.errors import FileFormatError
from converters.layers.counterparts import Counterparts, Step
from converters.layers.kinds import kind_of, weights_of
from converters.tflite.graph import Model, Op, Tensor, TensorType
from converters.tflite.record import METADATA_NAME, unpack_record
from tfmpq.activations.losses.rounding import Cure
from tfmpq.recipe.rules import Rule
from tfmpq.report.build import MAX_SUGGESTIONS, MIN_SUGGESTED_SHARE
from tfmpq.report.file_figures import constant_bytes
from tfmpq.report.suggestion import Suggestion

_STOCK_BITS = 8
_CHANNEL_BYTES = 12  # scale and bias of an int8 channel, and the bias's own scale


def layer_bits(model: Model, pairs: Counterparts) -> dict[str, int]:
    """Bits of a point of every layer of the second file, as its record has them; else as its integers look."""
    recorded = _recorded(model)
    return {
        step.layer: recorded.get(step.layer) or _looks(step)
        for _, step in pairs.pairs
        if step.has_weights and any(t.quantization is not None for t in _weights(step))
    }


def suggestions(
    found: Counterparts, bits: Mapping[str, int], noise: Mapping[str, float], *, written_by_tfmpq: bool
) -> tuple[Suggestion, ...]:
    """8 bits for the layers with the largest errors of their own, worst first: what the conversion's report suggests.

    Args:
        found: steps of both files.
        bits: of the second file's layers.
        noise: layer of the second file -> its own relative error.
        written_by_tfmpq: whether the second file is one that a recipe can change.
    """
    total = sum(noise.values())
    if not written_by_tfmpq or not total:
        return ()
    pairs = {second.layer: (first, second) for first, second in found.pairs if second.has_weights}
    low = [name for name in noise if bits.get(name, _STOCK_BITS) < _STOCK_BITS and name in found.known]
    worst = sorted(low, key=lambda name: -noise[name])[:MAX_SUGGESTIONS]
    return tuple(
        Suggestion(name, Rule(f"^{re.escape(name)}$", bits=8), noise[name] / total, _growth(*pairs[name]))
        for name in worst
        if noise[name] / total >= MIN_SUGGESTED_SHARE
    )


def tried_cures(model: Model) -> tuple[Cure, ...]:
    """What the conversion that wrote a file did for all activations, as far as its record tells."""
    if METADATA_NAME not in model.metadata:
        return ()
    rules = _record(model).get("recipe")
    known = [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    return ("range",) if any(rule.get("equalize") == "off" for rule in known) else ("equalize", "range")


def is_scaled(model: Model) -> bool:
    """Whether channels of a file's activations are scaled against the float model's, as its record says."""
    return bool(_record(model).get("equalized"))


def _recorded(model: Model) -> dict[str, int]:
    layers = _record(model).get("layers")
    if not isinstance(layers, dict):
        return {}
    bits = {name: note[0] for name, note in layers.items() if isinstance(note, list) and note}
    return {name: number for name, number in bits.items() if isinstance(number, int) and 1 <= number <= _STOCK_BITS}


def _record(model: Model) -> dict[str, Any]:
    entry = model.metadata.get(METADATA_NAME)
    try:
        return {} if entry is None else unpack_record(entry)
    except FileFormatError:  # the comparison itself does not need the notes
        return {}


def _weights(step: Step) -> Iterator[Tensor]:
    for op in step.ops:
        yield from weights_of(op)


def _looks(step: Step) -> int:
    """Bits that half of the layer's rows get by with; merged rows of several points look like points of more bits."""
    needed = []
    for tensor in _weights(step):
        if tensor.type in (TensorType.INT4, TensorType.INT8) and tensor.quantization is not None:
            axis = tensor.quantization.axis
            rows = np.moveaxis(tensor.array().astype(np.int16), axis, 0).reshape(tensor.shape[axis], -1)
            largest = np.maximum(rows.max(axis=1), -rows.min(axis=1) - 1)  # b bits hold -2^(b-1) .. 2^(b-1)-1
            needed.append(np.frexp(np.maximum(largest, 1))[1] + 1)
    return int(np.median(np.concatenate(needed))) if needed else _STOCK_BITS


def _growth(first: Step, second: Step) -> int:
    """Bytes by which the file grows if the layer gets one 8-bit point a row."""
    weights = list(_weights(first))
    if all(t.type == TensorType.INT8 for t in weights):
        return constant_bytes(first.ops) - constant_bytes(second.ops)
    rows = sum(_rows(op) for op in first.ops)
    return sum(int(np.prod(t.shape)) for t in weights) + _CHANNEL_BYTES * rows - constant_bytes(second.ops)


def _rows(op: Op) -> int:
    kind = kind_of(op)
    return 0 if kind is None else op.input(kind.site.weight).shape[kind.row_axis]
