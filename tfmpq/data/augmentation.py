"""Augmented views of calibration images: more of what the network may see, from the same images.

NumPy only, made on the fly: a pass holds one image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import DataError, OptionError
from converters.printable import shown
from tfmpq.data.iteration import OpenItems, open_passes
from tfmpq.data.sample_arrays import describe

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

DEFAULT_CROP = 0.7


@dataclass(frozen=True)
class ImageViews:
    """Representative data: ``views`` samples of every image, pass after pass over the images.

    The first pass gives the images themselves, every further one a random view of each: with m images, sample k is view
    ``k // m`` of image ``k % m``. So the start of the data is what it would be without views, and a view is the same
    however many others there are. View v of image i depends on ``(seed, i, v)`` and on nothing else.

    Calling it starts a pass over all samples, each a list of one array with a batch dimension of 1: what
    ``tfmpq.convert`` and ``TFLiteConverter.representative_dataset`` take.

    Attributes:
        open_images: starts a pass over the caller's images.
        views: samples per image.
        crop: smallest share of height and width that a view shows.
        flip: whether views are mirrored with probability 1/2.
        seed: of the views.
    """

    open_images: OpenItems
    views: int
    crop: float
    flip: bool
    seed: int

    def __call__(self) -> Iterator[list[np.ndarray]]:
        """All samples.

        Raises:
            DataError: An item is no image, or the images are not the same number every time.
        """
        first = 0
        for view in range(self.views):
            count = 0
            for number, image in enumerate(_images(self.open_images())):
                if view:
                    rng = np.random.default_rng((self.seed, number, view))
                    image = random_view(image, rng, crop=self.crop, flip=self.flip)
                yield [image[None]]
                count += 1
            if not view:
                first = count
            elif count != first:
                raise DataError(
                    f"images gave {first} images at first and {count} in a later pass. They are read once for every "
                    "view and must be the same every time: make the iterator inside the function, so that every call "
                    "starts anew."
                )


def image_views(images: object, n: int, *, crop: float = DEFAULT_CROP, flip: bool = True, seed: int = 0) -> ImageViews:
    """``n`` views of every image as representative data for :func:`tfmpq.convert`.

    The first view of an image is the image itself. The others are random crops, resized back to the image's size
    (bilinear) and mirrored left to right with probability 1/2: what a network trained on photos knows to be the same
    thing. Not for inputs of which position or direction is the meaning: text, spectrograms, tables.

    Args:
        images: preprocessed images of the model's size, channels last: an array (N, H, W, C), a function that returns
            an iterator or a generator function, a list, or a tf.data.Dataset. Items are (H, W, C), (1, H, W, C) or
            batches (N, H, W, C); a list, tuple or dict with one such array each is taken too. They are read ``n`` times
            in every pass and should come in the same order each time: do not shuffle.
        n: views of every image, the image included; 1 changes nothing.
        crop: smallest share of height and of width that a view shows, 0 < crop <= 1. The share is drawn evenly from
            crop..1, one for both sides, and the place in the image too. 1: whole images.
        flip: mirror views with probability 1/2. Not for models that must tell left from right, such as digits.
        seed: the same seed gives the same views, in every pass and process.

    Raises:
        OptionError: ``n``, ``crop``, ``flip`` or ``seed`` are out of range.
        DataError: ``images`` cannot be read more than once, or are no images (found at the first pass for whatever is
            no array).
    """
    check_view_options(n, crop, flip, seed)
    return ImageViews(open_passes(images, "images", _check_array), int(n), float(crop), bool(flip), int(seed))


def views_of_samples(
    samples: Callable[[], Iterator[Mapping[str, np.ndarray]]],
    inputs: Sequence[InputSpec],
    n: int,
    *,
    crop: float,
    flip: bool,
    seed: int,
) -> Callable[[], Iterator[Any]]:
    """Views of images on disk, see :func:`image_views`; one view: the samples as they are.

    Args:
        samples: as :func:`tfmpq.data.calibration_files.open_calibration` gives them.
        inputs: the model's inputs.
        n, crop, flip, seed: see :func:`image_views`.

    Raises:
        OptionError: The model does not take one image, or an option is out of range.
    """
    if n == 1:
        return samples
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise OptionError(
            f"views={n}: views are made of images (height, width, channels), but the model's inputs are "
            f"{describe(inputs)}. Leave views out."
        )
    return image_views(samples, n, crop=crop, flip=flip, seed=seed)


def check_view_options(n: int, crop: float, flip: bool, seed: int) -> None:
    """Checks the options of :func:`image_views`.

    Raises:
        OptionError: With the option, its value and what is allowed.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise OptionError(f"n={shown(n)} is no number of views; give a whole number from 1 on, 4 for example.")
    if (
        isinstance(crop, bool) or not isinstance(crop, (int, float, np.integer, np.floating)) or not 0 < crop <= 1
    ):  # nor NaN
        raise OptionError(
            f"crop={shown(crop)} is no share of an image's sides; give a number above 0 and up to 1, such as "
            f"{DEFAULT_CROP}."
        )
    if not isinstance(flip, (bool, np.bool_)):
        raise OptionError(f"flip={shown(flip)} must be True or False.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(f"seed={shown(seed)} is no seed; give a whole number from 0 on.")
    if n > 1 and crop == 1 and not flip:
        raise OptionError(
            f"n={n} views with crop=1 and flip=False are all the same image. Give a smaller crop, or n=1."
        )


def random_view(image: np.ndarray, rng: np.random.Generator, *, crop: float, flip: bool) -> np.ndarray:
    """A part of the image (H, W, C), enlarged to the image's size and maybe mirrored.

    Returns:
        Float32, or the image's type if that is an integer one; all values within the image's own range.
    """
    height, width = image.shape[:2]
    share = rng.uniform(crop, 1.0)
    top, left = rng.uniform(0.0, 1.0 - share, 2)
    mirrored = flip and rng.random() < 0.5
    view = resize_part(image, (top * height, left * width), (share * height, share * width))
    return view[:, ::-1] if mirrored else view


def resize_part(image: np.ndarray, corner: tuple[float, float], size: tuple[float, float]) -> np.ndarray:
    """Enlarges a rectangle of the image (H, W, C) to the whole size, bilinearly, pixel centres at halves.

    Args:
        image: any real numbers.
        corner: top and left of the rectangle in pixels, need not be whole.
        size: its height and width, no larger than the image's: nothing is averaged.

    Returns:
        Float32, or the image's type if that is an integer one; all values within the image's own range.
    """
    (top, bottom, down), (left, right, across) = (
        _neighbours(count, start, length) for count, start, length in zip(image.shape, corner, size, strict=False)
    )
    real = image if image.dtype == np.float32 else image.astype(np.float32)
    rows = _between(real[top], real[bottom], down[:, None, None])
    values = _between(rows[:, left], rows[:, right], across[:, None])
    if image.dtype.kind != "f":
        np.rint(values, out=values)
    # Rounding may leave the range by a hair, and the range of the data decides the scale of the network's input.
    np.clip(values, real.min(), real.max(), out=values)
    return values if image.dtype.kind == "f" else values.astype(image.dtype)


def _neighbours(count: int, start: float, length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``count`` new pixels: the old ones before and after it, and how near it is to the second."""
    places = np.clip(start + (np.arange(count) + 0.5) * (length / count) - 0.5, 0, count - 1)
    before = places.astype(np.intp)
    return before, np.minimum(before + 1, count - 1), (places - before).astype(np.float32)


def _between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``first + weight (second - first)``, in the memory of ``second``."""
    second -= first
    second *= weight
    second += first
    return second


# ---------------------------------------------------------------- reading images


def _images(items: Iterator[Any]) -> Iterator[np.ndarray]:
    """Single images (H, W, C)."""
    for number, item in enumerate(items):
        array = _array(item, f"sample {number} of images")
        yield from array if array.ndim == 4 else [array]


def _array(item: Any, where: str) -> np.ndarray:
    """The one array of an item, (H, W, C) or (N, H, W, C)."""
    parts = [item]
    if isinstance(item, Mapping):
        parts = list(item.values())
    elif isinstance(item, (list, tuple)) and any(hasattr(part, "shape") for part in item):
        parts = list(item)
    if len(parts) != 1:
        raise DataError(
            f"{where} is a {type(item).__name__} of {len(parts)} values. Views are made of the one image input of a "
            "model: drop labels, and for several inputs yield the views yourself from the function that you give to "
            "convert."
        )
    try:
        array = np.asarray(parts[0])
    except Exception as error:  # ragged lists, tensors on another device
        raise DataError(
            f"{where}: a {type(parts[0]).__name__} cannot become an array: {error}. Give NumPy arrays, of one shape."
        ) from error
    if array.dtype.kind not in "iuf":
        raise DataError(f"{where} holds {array.dtype}, no pixels. Give arrays of numbers, (H, W, C).")
    if array.ndim not in (3, 4):
        raise DataError(
            f"{where} has shape {array.shape}, which is no image: give (H, W, C), (1, H, W, C) or a batch "
            "(N, H, W, C). Grey images have C = 1: image[..., None]. For data that are no images leave the views out."
        )
    _check_channels_last(array, where)
    return array


def _check_array(array: np.ndarray, what: str) -> None:
    """Checks an array of all images."""
    if array.ndim == 5 and array.shape[1] == 1:  # a stack of images, each with its batch dimension
        array = array[:, 0]
    if array.ndim != 4:
        raise DataError(
            f"{what} is an array of shape {array.shape}; views are made of images: (N, H, W, C). Add the missing axis: "
            "array[None] to a single image, array[..., None] to grey ones. For data that are no images leave the views "
            "out."
        )
    _check_channels_last(array, what)


def _check_channels_last(array: np.ndarray, where: str) -> None:
    height, width, channels = array.shape[-3:]
    if channels > min(height, width) or not array.size:
        raise DataError(
            f"{where} has shape {array.shape}: with (height, width, channels) = ({height}, {width}, {channels}) it is "
            "no image. Channels come last: np.moveaxis(array, -3, -1) if they come first; grey images need an axis for "
            "them, array[..., None]."
        )
