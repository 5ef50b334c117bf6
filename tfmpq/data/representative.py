"""Representative data: every accepted form -> checked samples by input name, one at a time.

Nothing is collected: a pass holds one item of the caller's data, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import DataError
from tfmpq.data.augmentation import ImageViews
from tfmpq.data.iteration import OpenItems, open_passes
from tfmpq.data.sample_arrays import describe, describe_shape, fits, has_labels, read_item

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

MAX_SAMPLES = 1_000_000  # a generator that gives more most likely never ends


@dataclass(frozen=True)
class RepresentativeData:
    """Checked calibration samples that can be read any number of times.

    Attributes:
        count: samples in every pass.
        inputs: the model's inputs.
        open_items: starts a pass over the caller's data.
        views: samples made of each image (or other original); sample k is of original ``k % images``, and the first
            ``images`` samples are the originals themselves. See :class:`tfmpq.data.augmentation.ImageViews`.
        notes: what was made of the data that the caller may not expect.
    """

    count: int
    inputs: tuple[InputSpec, ...]
    open_items: OpenItems
    views: int = 1
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Number of originals: samples that are not views of others."""
        return self.count // self.views

    def originals(self) -> Iterator[dict[str, np.ndarray]]:
        """The samples that are not views of others; views are not even made."""
        return islice(self(), self.images)

    def __call__(self) -> Iterator[dict[str, np.ndarray]]:
        """Samples as dicts: signature input name -> array with batch dimension, of the input's dtype.

        Raises:
            DataError: A sample does not fit the model, or this pass gives another number than the first.
        """
        count = 0
        for sample in _samples(self.open_items, self.inputs):
            count += 1
            yield sample
        if count != self.count:
            raise DataError(
                f"rep_dataset gave {self.count} samples at first and {count} in a later pass. It is read several times "
                "and must give the same samples every time: let it use up nothing that lives outside of it."
            )


def check_samples(rep_dataset: object, inputs: Sequence[InputSpec]) -> RepresentativeData:
    """Reads the data once, checks every sample and counts them.

    Args:
        rep_dataset: one of

            * a callable without arguments that returns an iterator of samples (what TFLiteConverter takes), a generator
              function for example;
            * an array, for models of one input: (N, ...) or (N, 1, ...), samples along the first axis;
            * a dict of such arrays by input name;
            * a list, a tuple or whatever else can be iterated more than once, of samples;
            * a tf.data.Dataset, batched or not;
            * what :func:`tfmpq.image_views` makes of images.

            A sample is an array (models of one input), a list or tuple of arrays in input order, or a dict by input
            name; for a model of one input also the (x, label) pair of a labelled tf.data.Dataset, whose label is
            dropped. Arrays come with or without the batch dimension; a batch of k counts as k samples. Values are
            converted to the input's dtype where that loses no more than float64 -> float32 rounding does.
        inputs: the model's inputs, in the user's order.

    Raises:
        DataError: There are no samples, they can be read only once, or one does not fit (the message names sample and
            input).
    """
    inputs = tuple(inputs)
    open_items = open_passes(rep_dataset, "rep_dataset", lambda array, what: _check_array(array, inputs, what))
    count, labelled = 0, False
    for number, item in enumerate(_guarded(open_items)):
        labelled = labelled or has_labels(item, inputs)
        count += sum(1 for _ in read_item(item, inputs, _where(number)))
        if count > MAX_SAMPLES:
            raise DataError(
                f"rep_dataset gave more than {MAX_SAMPLES} samples and does not end. Limit it to a few hundred, with "
                "itertools.islice for example."
            )
    if not count:
        raise DataError(
            "rep_dataset gives no samples. int8 needs some to find the ranges of activations; 100 is usual."
        )
    if callable(rep_dataset) and not any(True for _ in _guarded(open_items)):
        raise DataError(
            "rep_dataset gives samples only at the first call: the iterator it returns is made outside of it and used "
            "up by then. Make the iterator inside the function, so that every call starts anew."
        )
    views = rep_dataset.views if isinstance(rep_dataset, ImageViews) else 1
    notes = ("rep_dataset holds labels beside the inputs; they were dropped",) if labelled else ()
    return RepresentativeData(count, inputs, open_items, views, notes)


def _samples(open_items: OpenItems, inputs: tuple[InputSpec, ...]) -> Iterator[dict[str, np.ndarray]]:
    for number, item in enumerate(_guarded(open_items)):
        yield from read_item(item, inputs, _where(number))


def _where(number: int) -> str:
    return f"sample {number} of rep_dataset"


def _guarded(open_items: OpenItems) -> Iterator[Any]:
    """The items; an error in the caller's code says at which one it happened."""
    number = 0
    try:
        for item in open_items():
            yield item
            number += 1
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"rep_dataset raised {type(error).__name__} at sample {number}: {error}. Iterate over it yourself to debug."
        ) from error


def _check_array(data: np.ndarray, inputs: tuple[InputSpec, ...], what: str) -> None:
    if len(inputs) != 1:
        raise DataError(
            f"{what} is one array, but the model has {len(inputs)} inputs: {describe(inputs)}. Give a dict with an "
            "array of shape (N, ...) for each, or a function that yields dicts."
        )
    if not data.ndim or not fits(data.shape[1:], inputs[0]):
        raise DataError(
            f"{what} is an array of shape {data.shape}, but input '{inputs[0].name}' takes "
            f"{describe_shape(('N', *inputs[0].shape[1:]))}, samples along the first axis. Add that axis to a single "
            "sample: array[None]"
        )
