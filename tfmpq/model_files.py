"""A model and its calibration data on disk: the model loaded, or found in the cache, for the data it is given with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.frontend.load import load_model
from converters.frontend.open_sizes import OpenSizes
from converters.frontend.whole_file import Entries
from tfmpq.cache.models import kept_source
from tfmpq.data.entry_data import fitting_calibration
from tfmpq.data.first_sample import first_shapes
from tfmpq.sources import Source, read_source

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec
    from converters.frontend.open_sizes import GivenSizes, Sizes
    from tfmpq.cache.anywhere import AnyStore

OpenData = Callable[["Sequence[InputSpec]"], Callable[[], Iterator[Mapping[str, np.ndarray]]]]


def load_from_file(
    path: str,
    open_data: OpenData,
    *,
    activations: str,
    batch_size: int | None,
    signature: str | None,
    sizes: GivenSizes | None,
    trust: bool,
    store: AnyStore | None,
) -> Source:
    """The model with what it brings along; ``model`` of it is the float model.

    Args:
        path: of the model.
        open_data: opens the calibration data for a model's inputs.
        activations, batch_size, trust: see :class:`tfmpq.Options`.
        signature: one, or several with commas between them.
        sizes: of what the model leaves open; None: those of the first sample, or left open with float activations.
        store: the cache; None: the model is loaded.

    Raises:
        ConversionError: The model cannot be loaded.
    """
    entries: Any = None
    asked: Sizes = sizes
    if activations == "float":  # the file stays whole, and open where it is open
        asked = OpenSizes.KEPT if sizes is None else sizes
        entries = Entries(signature and signature.split(","), partial(fitting_calibration, open_data))
    elif sizes is None:
        asked = lambda inputs: first_shapes(open_data(inputs), inputs)  # noqa: E731

    def load(sizes: Sizes) -> Source:
        source = read_source(path, trust=trust)
        model = load_model(
            source.model, batch_size=batch_size, signature=signature, sizes=sizes, trust=trust, entries=entries
        )
        return replace(source, model=model)

    if store is None:
        return load(asked)
    kept_for = {"batch size": batch_size, "signature": signature, "trust": trust}
    return kept_source(path, store, kept_for, asked, load)
