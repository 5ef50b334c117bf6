"""Sizes of samples, for models that leave theirs open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import DataError
from tfmpq.data.iteration import open_passes
from tfmpq.data.sample_arrays import read_item

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec


def first_shapes(rep_dataset: object, inputs: Sequence[InputSpec]) -> dict[str, tuple[int, ...]]:
    """The shape of every input's array in the first sample, with batch dimension; {} if there is no sample.

    Args:
        rep_dataset: as for :func:`tfmpq.data.representative.check_samples`, which checks all of it later.
        inputs: the model's inputs, with dimensions that are open.

    Raises:
        DataError: The data cannot be read, or the first sample does not fit the model.
    """
    open_items = open_passes(rep_dataset, "rep_dataset", lambda array, what: None)
    try:
        item = next(open_items(), None)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"rep_dataset raised {type(error).__name__} at sample 0: {error}. Iterate over it yourself to debug."
        ) from error
    if item is None:
        return {}
    sample = next(read_item(item, inputs, "sample 0 of rep_dataset"), {})
    return {name: array.shape for name, array in sample.items()}


def commonest_sizes(samples: Sequence[Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """The first sample of those sizes that most of the samples have; where none repeats, one of middling size."""
    sizes = [tuple(array.shape for array in sample.values()) for sample in samples]
    most, times = Counter(sizes).most_common(1)[0]
    if times > 1 or len(samples) == 1:
        return samples[sizes.index(most)]
    return sorted(samples, key=lambda sample: sum(array.size for array in sample.values()))[len(samples) // 2]
