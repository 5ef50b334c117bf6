"""What tells one prepared network from every other: the one place that says what `tfmpq.prepare` depends on.

In the key is whatever acts before :meth:`tfmpq.Prepared.finish`. An option is in it unless it is named here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields

from converters.errors import DataError
from converters.frontend.float_model import FloatModel
from converters.layers import kinds
from converters.lowering import forms
from converters.targets import load_target
from tfmpq import algorithms
from tfmpq.cache.digest import Digest, NoDigestError, digest_of
from tfmpq.cache.versions import versions
from tfmpq.data.representative import RepresentativeData
from tfmpq.given import Brought
from tfmpq.options import Options
from tfmpq.recipe.budgets import ExtraBits

# They change nothing of what is prepared.
FREE = ("effort", "weights", "names", "validate", "progress", "cache")
# Of which something acts before, or whose meaning is elsewhere; see _meant.
MEANT = ("bias_scales", "budget", "statistics", "target")
_CHUNK = 1 << 20


def options_in_key(options: Options) -> dict[str, object]:
    """The options that what is prepared depends on, by name."""
    return {f.name: getattr(options, f.name) for f in fields(Options) if f.name not in (*FREE, *MEANT)}


def _meant(options: Options) -> dict[str, object]:
    return {
        "unheeded": options.bias_scales == "shared" and options.activations == "auto",  # a note may say so
        "no second points": options.budget == ExtraBits(0.0),
        "target": load_target(options.target),
        "statistics": None if options.statistics is None else [_content(path) for path in options.statistics],
    }


def _content(path: str | os.PathLike[str]) -> str:
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
        return found.hexdigest()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}. Check the path.") from error


def prepared_key(brought: Brought, options: Options, data: str, signature: str | None = None) -> str:
    """The key of what would be prepared.

    Args:
        brought: model and data.
        options: of the conversion.
        data: digest of the samples, see :func:`data_digest`.
        signature: that the samples are for, of a file with several.

    Raises:
        NoDigestError: Code that is not of this package takes part.
    """
    for name in _foreign(brought, options):
        raise NoDigestError(f"{name}, which is code of your own")
    source = brought.source
    return digest_of(
        versions(),
        _model(brought.float_model),
        source.rules,
        source.simulated,
        source.handed_on,
        options_in_key(options),
        _meant(options),
        signature,
        data,
    )


def _model(model: FloatModel) -> tuple[object, ...]:
    """What is known of a float model. Where it came from is only for messages; how it can be run is not."""
    runs = model.public_int8 is not None, model.trace is not None
    return model.flatbuffer, model.inputs, model.names, model.origin, runs


def data_digest(data: RepresentativeData) -> str:
    """A digest of all samples as they are used, views included; reads them once."""
    found = Digest()
    found.add((data.count, data.views, data.notes, data.inputs))
    for sample in data():
        found.add(sample)
    return found.hexdigest()


def _foreign(brought: Brought, options: Options) -> Iterator[str]:
    """What takes part and is registered by others, of tfmpq's own functions too: a key would not see it change."""
    named = {options.algorithm, *(rule.algorithm for rule in brought.recipe.rules)}
    for name in _others(algorithms.ALGORITHMS, algorithms.BUILT_IN):
        if name in named or name in algorithms.BUILT_IN:
            yield f"algorithm {name!r}"
    for name in _others(forms.FORMS, forms.BUILT_IN):
        yield f"form {name!r}"
    for name in _others(kinds.KINDS, kinds.BUILT_IN):
        yield f"kind of layer {name!r}"


def _others(registry: Mapping[str, object], built_in: Mapping[str, object]) -> list[str]:
    """Names under which a registry holds anything but what this package put there."""
    return [name for name in {**built_in, **registry} if registry.get(name) is not built_in.get(name)]
