"""The model that ``tfmpq convert`` is given, loaded or found in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from converters.errors import CacheWarning
from tfmpq.commands.model_flags import read_sizes
from tfmpq.commands.warning_lines import warning_lines
from tfmpq.data.entry_data import fitting_calibration

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec
    from converters.frontend.open_sizes import Sizes
    from tfmpq.simulation.source import Source

OpenData = Callable[["Sequence[InputSpec]"], Callable[[], Iterator[Mapping[str, np.ndarray]]]]


def load_source(values: flags.FlagValues, open_data: OpenData, batch_size: int | None) -> Source:
    """The model with what it brings along; ``model`` of it is the float model.

    Args:
        values: flags of the command.
        open_data: opens the calibration data for a model's inputs.
        batch_size: see :func:`converters.frontend.load.load_model`.

    Raises:
        ConversionError: The model cannot be loaded.
    """
    from converters.frontend.load import load_model  # loads TensorFlow as soon as a model is loaded
    from converters.frontend.open_sizes import OpenSizes
    from converters.frontend.whole_file import Entries
    from tfmpq.cache.models import kept_source
    from tfmpq.cache.store import Store
    from tfmpq.sources import read_source

    entries: Any = None
    sizes: Sizes = read_sizes(values, open_data)
    if values.activations == "float":  # the file stays whole, and open where it is open
        sizes = sizes if values.sizes else OpenSizes.KEPT
        entries = Entries(values.signature and values.signature.split(","), partial(fitting_calibration, open_data))

    def load(sizes: Sizes) -> Source:
        source = read_source(values.model, trust=values.trust)
        model = load_model(
            source.model,
            batch_size=batch_size,
            signature=values.signature,
            sizes=sizes,
            trust=values.trust,
            entries=entries,
        )
        return replace(source, model=model)

    if values.cache is None:
        return load(sizes)
    asked = {"batch size": batch_size, "signature": values.signature, "trust": values.trust}
    with warning_lines("convert", CacheWarning):
        return kept_source(values.model, Store.open(values.cache), asked, sizes, load)
