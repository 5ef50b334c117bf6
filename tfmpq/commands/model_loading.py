"""The model that ``tfmpq convert`` is given, loaded or found in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from converters.errors import CacheWarning
from tfmpq.commands.model_flags import OpenData, given_sizes
from tfmpq.commands.warning_lines import warning_lines

if TYPE_CHECKING:
    from tfmpq.simulation.source import Source


def load_source(values: flags.FlagValues, open_data: OpenData, batch_size: int | None) -> Source:
    """The model with what it brings along; ``model`` of it is the float model.

    Args:
        values: flags of the command.
        open_data: opens the calibration data for a model's inputs.
        batch_size: see :func:`converters.frontend.load.load_model`.

    Raises:
        ConversionError: The model cannot be loaded.
    """
    from tfmpq.cache.anywhere import open_store
    from tfmpq.model_files import load_from_file  # loads TensorFlow as soon as a model is loaded

    with warning_lines("convert", CacheWarning):
        return load_from_file(
            values.model,
            open_data,
            activations=values.activations,
            batch_size=batch_size,
            signature=values.signature,
            sizes=given_sizes(values),
            trust=values.trust,
            store=None if values.cache is None else open_store(values.cache),
        )
