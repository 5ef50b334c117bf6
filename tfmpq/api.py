"""`tfmpq.convert` and `tfmpq.prepare`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from converters.errors import OptionError
from tfmpq.cache.anywhere import open_store
from tfmpq.cache.preparing import prepare_through
from tfmpq.clock import Clock
from tfmpq.given import read_given
from tfmpq.options import OF_A_FILE, Options, takes_options
from tfmpq.pipeline import prepare_network
from tfmpq.preparation import Prepared
from tfmpq.result import ConversionResult
from tfmpq.signatures import Part, data_by_signature, joined, signature_graphs

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfmpq.options import OptionValues

_BEFORE_FILES = [f.name for f in fields(Options) if f.name not in OF_A_FILE]


@takes_options()
def convert(model: object, rep_dataset: object, **options: Unpack[OptionValues]) -> ConversionResult:
    """Converts a float model to a .tflite file with multipoint low-bit weights, and int8 or float activations.

    Args:
        model: Keras 3 or tf_keras model, path of a .keras, .h5 or float .tflite file or a SavedModel directory, or the
            bytes of a float .tflite file. A Keras model annotated or simulated by :mod:`tfmpq.quantize_config` (tfmot)
            or :mod:`tfmpq.keras` brings the settings, or the points, of its layers along.
        rep_dataset: representative inputs as for TFLiteConverter (a function that returns an iterator), or an array,
            list, generator function or tf.data.Dataset; see :func:`tfmpq.data.representative.check_samples`. 100
            samples are usual; :func:`tfmpq.image_views` makes more of them. Of 32 or more, every
            eighth only serves to find what rounding costs, and every eighth to measure the result. With float
            activations also a dict of such data by signature, for a .tflite file with several.
        **options: see :class:`tfmpq.Options`.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    chosen = Options.of(options)
    known = signature_graphs(model) if chosen.activations == "float" else {}
    data = data_by_signature(rep_dataset, known, chosen.signature)
    if not data:
        return _prepared(model, rep_dataset, chosen).write(chosen)
    parts: list[Part] = []
    notes = []
    for key, own in data.items():
        former = next((part.key for part in parts if known[key] in part.graphs), None)
        if former is not None:
            notes.append(f"signature {key!r} has weights of {former!r}, and so the points that its samples gave them")
            continue
        prepared = _prepared(model, own, chosen, key)
        parts.append(Part.of(key, prepared, prepared.write(chosen)))
    return joined(parts, notes, chosen)


@takes_options(*_BEFORE_FILES)
def prepare(model: object, rep_dataset: object, **options: Any) -> Prepared:
    """The slow part of :func:`convert`, whose ``finish`` then writes files for as many budgets as wanted.

    Args:
        model, rep_dataset: as for :func:`convert`.
        **options: see :class:`tfmpq.Options`; ``finish`` takes the others.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    chosen = Options.of(options, _BEFORE_FILES)
    known = signature_graphs(model) if chosen.activations == "float" else {}
    data = data_by_signature(rep_dataset, known, chosen.signature)
    if len(data) > 1:
        raise OptionError("prepare takes data of one signature; convert takes those of several.")
    key, own = next(iter(data.items()), (None, rep_dataset))
    return _prepared(model, own, chosen, key)


def _prepared(model: object, rep_dataset: object, options: Options, key: str | None = None) -> Prepared:
    """``key``: the signature that samples are for, of a file with several."""
    with Clock(shown=options.progress) as clock:
        if options.cache is not None:
            return prepare_through(open_store(options.cache), model, rep_dataset, options, clock, signature=key)
        return prepare_network(read_given(model, rep_dataset, options, clock, key), options, clock)
