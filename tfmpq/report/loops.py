"""The report of a network with loops: what was done in their bodies, which are networks of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from math import prod

from tfmpq.report.report import Report
from tfmpq.report.weight_share import WeightShare


def with_loops(report: Report, loops: Mapping[str, Report]) -> Report:
    """The report of the whole file.

    Args:
        report: of what is outside of loops; its sizes and its measurements are those of the whole file already.
        loops: by name, those of their bodies.
    """
    if not loops:
        return report
    every = [*loops.values(), report]
    notes = [note for name, body in loops.items() for note in _notes(name, body)]
    return replace(
        report,
        layers=tuple(layer for each in every for layer in each.layers),
        extra_bits=_extra_bits(every),
        fallbacks=tuple(fallback for each in every for fallback in each.fallbacks),
        skipped=tuple(dict.fromkeys(entry for each in every for entry in each.skipped)),
        suggestions=tuple(suggestion for each in every for suggestion in each.suggestions),
        notes=(*report.notes, *notes),
        losses=tuple(loss for each in every for loss in each.losses),
        mended=tuple(entry for each in every for entry in each.mended),
        weights=_weights(every),
    )


def _notes(name: str, body: Report) -> Iterator[str]:
    """What the user would not know of a loop from the tables."""
    costs = f", {body.lowering_costs[0].predicted}" if body.lowering_costs else ""
    found = ""
    if body.proxies is not None and body.proxies.outputs:
        found = f"; its states come out with {min(body.proxies.file.sqnr_db):.1f} dB or more"
        found += f" (stock's: {min(body.proxies.stock.sqnr_db):.1f})"
    yield f"loop '{name}': one step was converted as a network of its own, on {body.images} steps{costs}{found}"
    if body.like_stock is not None:
        yield f"loop '{name}', the step: {'; '.join(text for _, text in islice(body.like_stock.entries('stock'), 2))}"
    if body.unspent is not None:
        yield f"loop '{name}': {body.unspent}"
    yield from (f"loop '{name}': {note}" for note in body.notes)


def _base(report: Report) -> float:
    """Bytes of all one-point rows of layers below 8 bits."""
    low = (layer for layer in report.layers if layer.bits < 8)
    return sum(prod(layer.shape) * layer.bits / 8 + 4 * layer.rows for layer in low)


def _extra_bits(reports: list[Report]) -> float | None:
    known = [(each.extra_bits, _base(each)) for each in reports if each.extra_bits is not None]
    base = sum(own for _, own in known)
    return sum(extra * own for extra, own in known) / base if base else None


def _weights(reports: list[Report]) -> WeightShare | None:
    shares = [each.weights for each in reports if each.weights is not None]
    if not shares:
        return None
    return WeightShare(
        sum(share.total for share in shares),
        sum(share.below for share in shares),
        tuple(sorted((holder for share in shares for holder in share.rest), key=lambda holder: -holder.weights)),
        sum(share.merged for share in shares),
    )
