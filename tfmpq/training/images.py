"""Unlabelled inputs of a model: checked arrays, a part of them held back, batches of random crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from converters.errors import DataError, OptionError
from converters.frontend.float_model import InputSpec
from tfmpq.data.augmentation import check_view_options
from tfmpq.data.holdout import EVERY
from tfmpq.data.representative import check_samples
from tfmpq.training.orders import orders


@dataclass(frozen=True, eq=False)
class Inputs:
    """Samples of a model's inputs.

    Attributes:
        arrays: (N, ...) of every input, in the model's order.
    """

    arrays: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def of(self, chosen: np.ndarray) -> Inputs:
        """Some of the samples."""
        return Inputs([array[chosen] for array in self.arrays])

    def samples(self, most: int) -> list[list[np.ndarray]]:
        """The first samples as representative data."""
        return [[array[i : i + 1] for array in self.arrays] for i in range(min(most, len(self)))]

    def batches(self, size: int) -> tf.data.Dataset:
        """A pass in order, as ((array of every input, ...),)."""
        return tf.data.Dataset.from_tensor_slices((tuple(self.arrays),)).batch(size)


def read_inputs(model: Any, images: object) -> Inputs:
    """Reads samples in every form that representative data may have.

    Raises:
        DataError: There are none, they do not fit the model, differ in size, or hold values that are not finite.
    """
    specs = [InputSpec(t.name, (), (None, *t.shape[1:]), np.dtype(t.dtype)) for t in model.inputs]
    try:
        found = list(check_samples(images, specs)())
    except DataError as error:
        raise DataError(str(error).replace("rep_dataset", "images")) from error
    arrays = []
    for spec in specs:
        shapes = {sample[spec.name].shape for sample in found}
        if len(shapes) > 1:
            raise DataError(f"images: input '{spec.name}' has samples of shapes {sorted(shapes)[:3]}; give one size.")
        arrays.append(np.concatenate([sample[spec.name] for sample in found]))
    return Inputs(arrays)


def hold_back(inputs: Inputs) -> tuple[Inputs, Inputs]:
    """Samples to train on, and every eighth to judge by.

    Raises:
        DataError: There is only one.
    """
    count = len(inputs)
    if count < 2:
        raise DataError("images gives one sample; distillation needs one to train on and one to judge by, at least.")
    held = np.arange(count) % EVERY == min(EVERY, count) - 1
    return inputs.of(~held), inputs.of(held)


@dataclass(frozen=True)
class Crops:
    """Random crops, resized back, and mirrored images.

    Attributes:
        smallest: share of height and width that is shown at least; 1: whole images.
        flip: whether images are mirrored with probability 1/2.
        seed: of both.
    """

    smallest: float
    flip: bool
    seed: int

    def check(self, inputs: Inputs) -> None:
        """Raises an :class:`OptionError` for values out of range, or inputs that are no images."""
        check_view_options(1, self.smallest, self.flip, self.seed)
        is_image = len(inputs.arrays) == 1 and inputs.arrays[0].ndim == 4 and inputs.arrays[0].dtype.kind == "f"
        if (self.smallest < 1 or self.flip) and not is_image:
            raise OptionError(
                "crop and flip are for models of one input of float images (N, height, width, channels); this model "
                "takes something else. Leave them out."
            )

    def __call__(self, number: Any, images: Any) -> Any:
        """The images of a batch, changed; ``number`` of the batch chooses how."""
        shape = tf.shape(images)
        seed: Any = tf.stack([tf.cast(self.seed, tf.int64), number])
        draws: Any = tf.random.stateless_uniform(tf.stack([4, shape[0]]), seed)
        if self.smallest < 1:
            side = self.smallest + (1 - self.smallest) * draws[0]
            top, left = draws[1] * (1 - side), draws[2] * (1 - side)
            boxes = tf.stack([top, left, top + side, left + side], axis=1)
            images = tf.image.crop_and_resize(images, boxes, tf.range(shape[0]), shape[1:3])
        if self.flip:
            images = tf.where(draws[3][:, None, None, None] < 0.5, images[:, :, ::-1], images)
        return images


def training_batches(inputs: Inputs, size: int, epochs: int, crops: Crops) -> tf.data.Dataset:
    """Shuffled batches of all epochs, as ((array of every input, ...),); all of one size where there are enough."""
    held: list[Any] = [tf.constant(array) for array in inputs.arrays]
    rows = orders(np.arange(len(inputs)), size, epochs, crops.seed, whole=len(inputs) >= size)
    batches = rows.map(lambda order: tuple(tf.gather(array, order) for array in held)).enumerate()

    def changed(number: Any, arrays: Any) -> tuple[Any]:
        return ((crops(number, arrays[0]),) if crops.smallest < 1 or crops.flip else arrays,)

    return batches.map(changed).prefetch(1)
