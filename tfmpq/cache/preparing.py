"""A network prepared for a model, data and options: from the cache, or by the pipeline and then kept."""

from __future__ import annotations

import warnings
from functools import partial

from converters.errors import CacheWarning
from converters.printable import shown
from tfmpq.cache.anywhere import AnyStore
from tfmpq.cache.digest import NoDigestError
from tfmpq.cache.key import data_digest, options_in_key, prepared_key
from tfmpq.cache.models import kept_source
from tfmpq.cache.prepared import Kept
from tfmpq.cache.versions import changed_sources
from tfmpq.clock import Clock
from tfmpq.given import Brought, load_source, open_sizes, quantize_brought, read_brought
from tfmpq.options import Options
from tfmpq.pipeline import prepare_network
from tfmpq.preparation import Prepared
from tfmpq.sources import Source
from tfmpq.suspicion.suspicion import announce

KIND = "prepared"
_LONGEST = 60  # characters of a value in a list


def prepare_through(
    store: AnyStore, model: object, rep_dataset: object, options: Options, clock: Clock, *, signature: str | None = None
) -> Prepared:
    """What :func:`tfmpq.prepare` gives, from the cache where it is there.

    Args:
        store: the cache.
        model, rep_dataset, options: as for :func:`tfmpq.convert`.
        clock: gets the seconds of each stage.
        signature: that the samples are for, of a file with several; None: the first that takes them.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    brought = read_brought(model, rep_dataset, options, clock, signature, load=partial(_load, store))
    data = data_digest(brought.data.whole)
    try:
        key = prepared_key(brought, options, data, signature)
        reason = changed_sources()
    except NoDigestError as error:
        key, reason = "", f"it holds {error}"
    if reason is not None:
        _warn(reason)
        return prepare_network(quantize_brought(brought, options, clock), options, clock)
    kept: Kept | None = store.get(key, KIND)
    clock.lap("cache")
    if kept is not None:
        announce(kept.prepared.warnings, stacklevel=4)
        return kept.put_back(brought.data, options, brought.float_model.source, clock.seconds)
    prepared = prepare_network(quantize_brought(brought, options, clock), options, clock)
    if (reason := _changed(brought, data)) is None:
        store.put(key, KIND, _header(brought, options, data), Kept.of(prepared))
    else:
        _warn(reason)
    return prepared


def _changed(brought: Brought, data: str) -> str | None:
    """What is not any more as the key says, of which nobody knows when it changed."""
    if data_digest(brought.data.whole) != data:
        return "its samples have changed meanwhile, or are others each time that they are read"
    return changed_sources()


def _warn(reason: str) -> None:
    warnings.warn(CacheWarning(f"cache: nothing is kept of this conversion: {reason}"), stacklevel=5)


def _load(store: AnyStore, model: object, rep_dataset: object, options: Options, signature: str | None) -> Source:
    """The model, loaded or found in the cache."""
    asked = {"batch size": options.batch_size, "signature": options.signature, "trust": options.trust}
    load = partial(load_source, model, rep_dataset, options, signature)
    return kept_source(model, store, asked, open_sizes(rep_dataset, options), load)


def _header(brought: Brought, options: Options, data: str) -> dict[str, object]:
    """What a list of entries says."""
    usual = options_in_key(Options())
    chosen = {name: value for name, value in options_in_key(options).items() if value != usual[name]}
    return {
        "model": brought.float_model.source,
        "samples": brought.data.whole.count,
        "data": data,
        "options": {name: shown(value)[:_LONGEST] for name, value in chosen.items()},
    }
