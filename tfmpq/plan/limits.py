"""What the runtime's own limits, and the activations of its int8 file, allow a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.lowering.lookup import INT4_BITS
from converters.lowering.quantized_layer import scale_ceiling, scale_floor
from converters.points import code_range
from converters.targets import Target
from tfmpq.stages import Found, Measured

_MARGIN = 2.0  # what the search for the best step may add to the one that clips nothing, and more
_SEEN = 0.5  # of a step: smaller inputs round to zero


def within_limits(layers: Sequence[Found]) -> tuple[list[Found], tuple[str, ...]]:
    """Layers with settings that the runtime can hold, and notes on those that are changed.

    The larger a step of the weights, the larger the factor from a layer's sums to its outputs, and XNNPACK refuses
    factors of 2^8. A layer of huge inputs and clipped outputs comes there with few bits; with 8 it is stock's own.
    """
    result, notes = [], []
    for layer in layers:
        bits = layer.settings.bits
        if layer.settings.keep is not None or layer.given is not None or _fits(layer, bits):
            result.append(layer)
            continue
        fits = bits < 8 and _fits(layer, 8)
        changed = {"bits": 8, "max_points": 1} if fits else {"keep": "int8"}
        result.append(replace(layer, settings=replace(layer.settings, **changed)))
        notes.append(
            f"layer '{layer.name}': {'8 bits' if fits else 'as stock has it'} instead of {bits} bits, because its "
            f"inputs (steps of {max(use.int8_input.scale for use in layer.layer.uses):.3g}) are so large beside its "
            f"outputs (steps of {min(use.int8_op.outputs[0].scale for use in layer.layer.uses):.3g}) that the runtime "
            "would refuse a coarser weight. Usually one channel in front of it has a huge bias or scale: look there."
        )
    return result, tuple(notes)


def _fits(layer: Found, bits: int) -> bool:
    low, high = code_range(bits)
    weight = layer.layer.weight
    step = np.maximum(weight.max(axis=1) / high, weight.min(axis=1) / low)
    return bool((np.maximum(step, scale_floor(layer.layer)) * _MARGIN < scale_ceiling(layer.layer)).all())


def table_notes(layers: Sequence[Found], target: Target, bits: int) -> tuple[str, ...]:
    """Why tables have 8 bits although fewer were asked for."""
    if bits > INT4_BITS:
        return ()
    notes = []
    for layer in layers:
        if not layer.layer.kind.table or layer.settings.keep is not None or layer.settings.bits != 8:
            continue
        if layer.layer.columns % 2:
            why = f"the kernel reads INT4 rows of an odd length ({layer.layer.columns}) from the wrong place"
        elif not target.supports("EMBEDDING_LOOKUP", "INT4", activation="INT32"):
            why = f"target {target.name!r} looks up no INT4 rows"
        else:
            continue
        notes.append(f"table '{layer.name}': 8 bits instead of {bits}, because {why}")
    return tuple(notes)


def unseen_inputs(layers: Sequence[Measured]) -> tuple[str, ...]:
    """A note on the first layer whose inputs are all smaller than half a step of stock's int8."""
    for layer in (layer for layer in layers if not layer.layer.reads_float):
        known = layer.statistics
        largest = float(known.power().max(initial=0.0)) ** 0.5
        step = min(use.int8_input.scale for use in layer.layer.uses)
        if 0 < largest < _SEEN * step:
            return (
                f"layer '{layer.name}' reads values of about {largest:.3g} on the representative data, which are zero "
                f"in int8: TensorFlow's smallest step is {step:.3g}. Scale the model's inputs up, or give data of the "
                "range that the model was trained on.",
            )
    return ()
