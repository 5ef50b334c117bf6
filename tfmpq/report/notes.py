"""What a user should know of a file beyond its figures: where bits save nothing, and where weights are not to blame."""

from __future__ import annotations

from collections.abc import Sequence

from converters.lowering.split import INT4_BITS, can_store_int4
from converters.targets import Target
from tfmpq.options import Optimize
from tfmpq.plan.settings import INT8_WHERE_FASTER
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.simulation.source import SimulatedLayer
from tfmpq.stages import Found, Written
from tfmpq.text import plural

_CLOSE_DB = 1.0  # of the SQNR with 8-bit rows: the low-bit weights then make at most a fifth of the error
_POOR_DB = 20.0  # an output SQNR that needs a word


def storage_notes(written: Sequence[Written], optimize: Optimize) -> list[str]:
    """What to do where most weights stand in the file as int8, and what it was made small for."""
    by_size = [w for w in written if w.settings.lowering in INT8_WHERE_FASTER]
    low = [w for w in by_size if w.settings.bits <= INT4_BITS]
    result = []
    rounded = [w for w in low if not can_store_int4(w.layer, w.layer.channels, w.settings.bits)]
    if optimize == "download" and rounded:
        result.append(
            "optimize='download': layers that stand in the file as int8 are rounded to fewer bits all the same, for "
            "the size deflated; optimize='file' gives them 8 bits at the same file size."
        )
    whole = sum(w.layer.weight.size for w in written)
    # Plain 8 bits because no file stores them shorter: of those with a single row or depthwise, little is to be won.
    spared = [
        w
        for w in by_size
        if w.settings.bits == 8
        and not w.layer.kind.per_channel
        and not can_store_int4(w.layer, w.layer.channels, INT4_BITS)
    ]
    share = sum(w.layer.weight.size for w in spared) / whole if whole else 0.0
    if optimize == "file" and share > 0.5:
        result.append(
            f"{share:.0%} of the weights have 8 bits: their layers (kernels larger than 1x1, strides, odd input "
            "counts) would stand in the file as int8 whatever their bits. optimize='download' rounds them for a "
            "smaller compressed file; lowering='compact' makes the small file that tfmpq.expand turns into int8 when "
            "it is loaded."
        )
    int8 = sum(w.layer.weight.size for w in low if w.lowering == "fused")
    below = sum(w.layer.weight.size for w in written if w.settings.bits <= INT4_BITS)
    if int8 > below / 2:
        result.append(
            f"{int8 / below:.0%} of the low-bit weights stand in the file as int8, because INT4 is slower there. "
            "Compressed the file is smaller (size deflated); lowering='compact' makes the small one that tfmpq.expand "
            "turns into int8 when it is loaded."
        )
    return result


def few_bit_notes(layers: Sequence[Found]) -> list[str]:
    """What figures against the float model say of a network that was trained with activations of few bits."""
    few = [x for x in layers if isinstance(x.given, SimulatedLayer) and x.given.reads and x.given.reads.is_few]
    if not few:
        return []
    return [
        f"{plural(len(few), 'layer')} {'was' if len(few) == 1 else 'were'} trained to read activations of fewer than 8 "
        "bits. The float model of this report has the trained weights and float activations, for which they were not "
        "trained: judge the file by labelled samples (tfmpq evaluate), or by what the trained model itself gives."
    ]


def target_notes(target: Target) -> tuple[str, ...]:
    """Whose times the predictions are, and what is known of a target that nobody measured."""
    stated = target.stated
    if stated is None:
        return ()
    return (
        f"target {target.name!r} has no measured times: predictions are made with those of {stated.times!r}, on "
        f"another processor. What it takes is stated ({stated.source}); verified of that: {stated.verified}.",
    )


def blameless(proxies: Proxies | None) -> bool:
    """Whether the outputs are as close to the float model's as with 8-bit rows, so that more bits bring little."""
    if proxies is None:
        return False
    pairs = zip(proxies.file.sqnr_db, _eight_bits(proxies).sqnr_db, strict=True)
    return all(ours >= theirs - _CLOSE_DB for ours, theirs in pairs)


def _eight_bits(proxies: Proxies) -> Closeness:
    """What 8-bit weights reach: those of our own file, or where they were not measured, stock's."""
    return proxies.stock if proxies.activations is None else proxies.activations


def activation_notes(proxies: Proxies | None) -> list[str]:
    """A word where the error is that of the int8 activations."""
    if proxies is None or not blameless(proxies):
        return []
    eight, stock = (min(found.sqnr_db, default=_POOR_DB) for found in (_eight_bits(proxies), proxies.stock))
    if eight >= _POOR_DB:
        return []
    return [
        f"the output SQNR is low ({min(proxies.file.sqnr_db):.1f} dB), and as low with 8-bit weights ({eight:.1f} dB; "
        f"stock int8: {stock:.1f} dB): it is the int8 activations, and more bits for weights do not help. The tensors "
        "that int8 holds worst are listed above, if one scale does not suit them; tfmpq diff shows every layer."
    ]
