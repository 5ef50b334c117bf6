"""Conversions of a file with data for several of its signatures: one after the other, and their graphs in one file."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.errors import ConversionError, OptionError
from converters.frontend.float_model import FloatModel
from converters.layers.layer import Skipped
from converters.layers.shared import NO_DATA
from converters.lowering.stripping import put_back
from converters.tflite.graph import Model
from converters.tflite.model_file import read_model
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save
from tfmpq.emit.lean import lean
from tfmpq.options import Options
from tfmpq.plan.layer_plan import Plan
from tfmpq.preparation import Prepared
from tfmpq.report.report import Report
from tfmpq.result import ConversionResult


@dataclass(frozen=True, eq=False)
class Part:
    """What came of the data of one signature.

    Attributes:
        key: the signature.
        graphs: numbers, in the user's file, of the graphs in which layers were written.
        result: the conversion, of the whole file.
    """

    key: str
    graphs: frozenset[int]
    result: ConversionResult

    @classmethod
    def of(cls, key: str, prepared: Prepared, result: ConversionResult) -> Part:
        """The part of a conversion."""
        origin = prepared.network.float_model.origin
        assert origin is not None  # data of several signatures are for whole files
        numbers = {0, *(use.graph for layer in prepared.weighed for use in layer.layer.elsewhere)}
        numbers |= {loop.loop.number for loop in prepared.loops}
        return cls(key, frozenset(origin.graphs[number] for number in numbers), result)


def signature_graphs(model: object) -> dict[str, int]:
    """Signatures of a .tflite file and the numbers of their graphs; {} of what is none, or cannot be read."""
    try:
        if isinstance(model, FloatModel):
            content = model.flatbuffer
        elif isinstance(model, (str, os.PathLike)):
            content = Path(model).read_bytes() if Path(model).is_file() else b""
        elif isinstance(model, (bytes, bytearray, memoryview)):
            content = bytes(model)
        else:
            return {}
        return {signature.key: signature.graph for signature in read_model(content).signatures}
    except (OSError, ConversionError):  # said better by who loads it
        return {}


def data_by_signature(rep_dataset: object, known: Mapping[str, int], asked: str | Sequence[str] | None) -> dict:
    """The data of each signature, where they are a dict of them; {} for data in any other form.

    Args:
        rep_dataset: as given.
        known: signatures of the model.
        asked: those whose weights may change; None: all.

    Raises:
        OptionError: Data are for a signature whose weights may not.
    """
    if not isinstance(rep_dataset, Mapping) or not rep_dataset or not rep_dataset.keys() <= known.keys():
        return {}
    allowed = known.keys() if asked is None else {asked} if isinstance(asked, str) else set(asked)
    for key in rep_dataset:
        if key not in allowed:
            raise OptionError(f"rep_dataset has data of the signature {key!r}, which signature={asked!r} leaves out.")
    return dict(rep_dataset)


def joined(parts: Sequence[Part], notes: Sequence[str], options: Options) -> ConversionResult:
    """One file with the graphs that each part has written.

    Args:
        parts: of the same file, in different graphs of it.
        notes: what else the user should know.
        options: of the conversion.
    """
    first, *others = parts
    if not others:
        return replace(first.result, report=replace(first.result.report, notes=(*first.result.report.notes, *notes)))
    model, eight_bits = _named(first.result), load(first.result.eight_bit_model)
    for part in others:
        _transplant(model, _named(part.result), part.graphs)
        _transplant(eight_bits, load(part.result.eight_bit_model), part.graphs)
    layers = {name: plan for part in parts for name, plan in part.result.plan.layers.items()}
    lowerings = {name: plan.settings.lowering for name, plan in layers.items()}
    file = lean(save(model), options, lowerings)
    return replace(
        first.result,
        tflite_model=file.content,
        plan=Plan(layers),
        report=_report(parts, file.content, notes),
        eight_bit_model=save(eight_bits),
        names=file.names,
    )


def _named(result: ConversionResult) -> Model:
    model = load(result.tflite_model)
    return model if result.names is None else put_back(model, result.names)


def _transplant(into: Model, source: Model, numbers: frozenset[int]) -> None:
    """Graphs of a file take the places of those in another file of the same model; so does what its record says."""
    kept = [into.graphs.index(signature.graph) for signature in into.signatures]
    for number in numbers:
        into.graphs[number] = source.graphs[number]
    into.signatures = [
        source.signatures[place] if number in numbers else into.signatures[place] for place, number in enumerate(kept)
    ]
    records = [unpack_record(m.metadata[METADATA_NAME]) for m in (into, source) if METADATA_NAME in m.metadata]
    if len(records) == 2 and all("layers" in record for record in records):
        records[0]["layers"].update(records[1]["layers"])
        into.metadata[METADATA_NAME] = pack_record(records[0])


def _report(parts: Sequence[Part], content: bytes, notes: Sequence[str]) -> Report:
    """The first part's report, with the layers of all and the size of the whole."""
    first = parts[0].result.report
    reports = [part.result.report for part in parts]
    file = replace(first.file, bytes=len(content), deflated=len(zlib.compress(content, 9)))
    measured = [
        f"signature {part.key!r}: {_quality(part.result.report)}" for part in parts if part.result.report.proxies
    ]
    weights = first.weights
    if weights is not None:
        below = sum(report.weights.below for report in reports if report.weights is not None)
        weights = replace(weights, below=below, rest=())
    return replace(
        first,
        layers=tuple(layer for report in reports for layer in report.layers),
        file=file,
        fallbacks=tuple(fallback for report in reports for fallback in report.fallbacks),
        skipped=tuple(dict.fromkeys(s for report in reports for s in report.skipped if _stays(s, reports))),
        suggestions=tuple(suggestion for report in reports for suggestion in report.suggestions),
        notes=tuple(dict.fromkeys([*measured, *(note for r in reports for note in r.notes), *notes])),
        warnings=tuple(dict.fromkeys(warning for report in reports for warning in report.warnings)),
        weights=weights,
    )


def _stays(skipped: Skipped, reports: Sequence[Report]) -> bool:
    """Whether no other data have changed it."""
    return NO_DATA not in skipped.reason or all(skipped in report.skipped for report in reports)


def _quality(report: Report) -> str:
    assert report.proxies is not None
    found = zip(report.proxies.outputs, report.proxies.file.sqnr_db, strict=True)
    return ", ".join(f"{name} {value:.1f} dB" for name, value in found)
