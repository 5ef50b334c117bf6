"""Outputs of the file that are not worth much: said as a warning, and whether activations or weights are to blame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfmpq.report.output_channels import OutputChannels
from tfmpq.report.proxies import Proxies
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import shorten

POOR_DB = 10.0  # the error is a tenth of the output
# Of an output's channels: those of boxes and scores are few kinds; among the features of an embedding some are quiet.
_STILL_SHARE, _STILL_FEATURES = 0.1, 0.5
_MIXED = "mixed output"  # what :mod:`tfmpq.suspicion.activations` calls what it sees
_NAME = 60


def output_signs(proxies: Proxies | None, known: Sequence[Suspicion], *, few_bits: bool = False) -> Iterator[Suspicion]:
    """Warnings of outputs with a small signal to noise ratio, and of channels that never change.

    Args:
        proxies: measured on the file.
        known: what was warned of already; lost channels of an output need no second warning.
        few_bits: whether activations were trained to have few bits: far from float, they are as they were trained.
    """
    if proxies is None:
        return
    share = _STILL_SHARE if proxies.file.cosine is None else _STILL_FEATURES
    warned = [suspicion.text for suspicion in known if suspicion.sign == _MIXED]
    for number, name in enumerate(proxies.outputs):
        called = f"'{shorten(name, _NAME)}'"
        found = proxies.channels[number] if proxies.channels else OutputChannels(0, 0, 0, None)
        if found.still and found.still >= share * found.of and not any(called in text for text in warned):
            yield Suspicion(
                "activations",
                "still channels",
                f"{found.still} of {found.of} channels of output {called} never change in the file, and they do in the "
                "float model: the int8 step of the tensor is larger than all they say. "
                f"outputs={{{name!r}: 'float'}} keeps them.",
            )
        if proxies.file.sqnr_db[number] < POOR_DB and not few_bits:
            yield _poor(proxies, number, called)


def _poor(proxies: Proxies, number: int, called: str) -> Suspicion:
    found = f"Output {called} has a signal to noise ratio of only {proxies.file.sqnr_db[number]:.1f} dB in the file"
    alone = None if proxies.activations is None else proxies.activations.sqnr_db[number]
    if alone is not None and alone >= POOR_DB:
        text = f"{found}, and {alone:.1f} dB with 8-bit weights: give it more bits, points or bytes."
        return Suspicion("weights", "poor output", text)
    if alone is None:
        return Suspicion("activations", "poor output", f"{found}. tfmpq diff says which layers lose it.")
    text = (
        f"{found}, and {alone:.1f} dB with 8-bit weights: its activations lose it, and more bits for weights do not "
        "help. The report lists the tensors that int8 holds worst."
    )
    return Suspicion("activations", "poor output", text)
