"""How points are stored that stay apart: what the option ``weights`` stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import OptionError
from converters.lowering.form import Storage
from converters.lowering.forms import FORMS
from converters.targets import Target
from tfmpq.options import Options
from tfmpq.stages import Weighed


def stored_layers(layers: Sequence[Weighed], chosen: Options, target: Target) -> tuple[list[Weighed], Storage]:
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
