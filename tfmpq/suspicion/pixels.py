"""Usual ranges of pixel values: which one data have, and the same data in the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfmpq.data.preprocessing import PREPROCESSINGS, Preprocessing

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

_CHANNELS = (1, 3)
_PIXELS = 30  # whole numbers from 0 on that stay below this may count anything


@dataclass(frozen=True)
class PixelRange:
    """One way to hold pixels.

    Attributes:
        range: in words.
        option: of the command line.
        formula: from pixels 0..255, for a sentence.
        preprocessing: the same as a function.
    """

    range: str
    option: str
    formula: str
    preprocessing: Preprocessing

    def fits(self, channels: int) -> bool:
        """Whether images of so many channels can have it."""
        return len(self.preprocessing.mean) in (1, channels)


def _named(name: str, range_: str, formula: str) -> PixelRange:
    return PixelRange(range_, f"--preprocess={name}", formula, PREPROCESSINGS[name])


RAW = _named("raw", "0..255", "pixels as they are")
ZERO_ONE = _named("zero_one", "0..1", "pixels / 255")
MINUS_ONE_ONE = _named("minus_one_one", "-1..1", "pixels / 127.5 - 1")
IMAGENET = PixelRange(
    "mean 0 and variance 1, as in PyTorch",
    "--preprocess=mean=123.675,116.28,103.53,std=58.395,57.12,57.375",
    "(pixels - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]",
    Preprocessing((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
)
TWICE = PixelRange("0..0.004 (divided by 255 twice?)", "", "", Preprocessing((0.0,), (255.0 * 255,)))  # a mistake
RANGES = (MINUS_ONE_ONE, ZERO_ONE, RAW, IMAGENET)


@dataclass(frozen=True)
class Images:
    """Samples of images whose range of values is one of the usual ones.

    Attributes:
        name: the input's.
        axis: of the channels.
        range: that of the values.
        whole: whether all values are whole numbers.
        grey: whether colour images have no colour in them.
    """

    name: str
    axis: int
    range: PixelRange
    whole: bool
    grey: bool

    def in_range(
        self, samples: Sequence[Mapping[str, np.ndarray]], other: PixelRange
    ) -> Iterator[dict[str, np.ndarray]]:
        """The samples with their values in another range."""
        for sample in samples:
            pixels = _pixels(np.moveaxis(sample[self.name], self.axis, -1), self.range)
            yield {self.name: np.moveaxis(other.preprocessing(pixels), -1, self.axis).astype(np.float32)}

    def others(self) -> list[PixelRange]:
        """The ranges that the values do not have."""
        return [r for r in RANGES if r is not self.range]


def recognize(inputs: Sequence[InputSpec], samples: Sequence[Mapping[str, np.ndarray]]) -> Images | None:
    """Whether the model has one input, of images, and what range they have; None: not, or none of the usual ones.

    The widest range is told by its values; 0..1 may be a dark part of another one, and is taken as what it seems.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].dtype.kind != "f" or not samples:
        return None
    name, shape = inputs[0].name, inputs[0].shape
    axis = next((axis for axis in (3, 1) if shape[axis] in _CHANNELS), None)
    if axis is None:
        return None
    values = [np.moveaxis(sample[name], axis, -1) for sample in samples]
    low = min(float(v.min()) for v in values)
    high = max(float(v.max()) for v in values)
    found = None
    if low >= 0 and high <= 1:
        found = TWICE if high <= 1 / 128 else ZERO_ONE  # two grey levels of 255: no photo
    elif low >= 0 and _PIXELS <= high <= 255:
        found = RAW
    elif -1 <= low < 0 and high <= 1:
        found = MINUS_ONE_ONE
    elif low < 0 and IMAGENET.fits(values[0].shape[-1]):
        pixels = [_pixels(v, IMAGENET) for v in values]
        # Half a pixel beyond: rounded constants.
        found = IMAGENET if all(p.min() >= -0.5 and p.max() <= 255.5 for p in pixels) else None
    if found is None or not found.fits(values[0].shape[-1]):
        return None
    whole = all(np.array_equal(v, np.rint(v)) for v in values)
    return Images(
        name, axis, found, whole, values[0].shape[-1] > 1 and all(_is_grey(_pixels(v, found)) for v in values)
    )


def _is_grey(pixels: np.ndarray) -> bool:
    return bool(np.ptp(pixels, axis=-1).max() < 0.5)  # a rounding error in any range


def _pixels(values: np.ndarray, held: PixelRange) -> np.ndarray:
    """Pixels 0..255 of values with the channels last."""
    mean, std = np.array(held.preprocessing.mean), np.array(held.preprocessing.std)
    return values * std + mean
