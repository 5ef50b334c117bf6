"""Images in files and records, decoded to what a model's one input takes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from converters.errors import DataError, MissingDependencyError, OptionError
from tfmpq.data.preprocessing import HOW, Preprocessing
from tfmpq.data.sample_arrays import describe

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow has others, some of which run programs
_MOST_PIXELS = 10**8  # that are decoded, 300 MB of colours; photos have 10 to 50 million
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def check_images(what: str, preprocessing: Preprocessing | None) -> Preprocessing:
    """Finds out whether images can be read at all, before anything else is known.

    Raises:
        MissingDependencyError: Pillow is not installed.
        OptionError: It is not said what pixel values the model expects.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("reading images needs Pillow: pip install pillow") from error
    if preprocessing is None:
        raise OptionError(f"{what} holds images: say what pixel values the model was trained with, --preprocess={HOW}")
    return preprocessing


def image_reader(
    what: str, inputs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Callable[[Path], np.ndarray]:
    """A function that reads a file with an image; see :func:`image_decoder`."""
    decode = image_decoder(what, inputs, preprocessing)
    return lambda file: decode(file, f"'{file}'")


def image_decoder(
    what: str, inputs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Callable[[Path | IO[bytes], str], np.ndarray]:
    """A function that decodes an image as the model's one input, without a batch dimension.

    It takes a file and what to call it in messages.

    Args:
        what: holds the images, for messages.
        inputs: the model's inputs.
        preprocessing: of pixel values.

    Raises:
        DataError: The model takes no images.
        MissingDependencyError: Images need Pillow.
        OptionError: ``preprocessing`` is None.
    """
    preprocessing = check_images(what, preprocessing)
    from PIL import Image, ImageOps

    size = [n for n in inputs[0].shape[1:] if n is not None]
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and len(size) < 3:
        raise DataError(
            f"{what} holds images, but the model leaves their size open: {describe(inputs)}. Give it, for "
            "example --sizes=224,224,3"
        )
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or len(size) != 3 or size[2] not in _MODES:
        raise DataError(
            f"{what} holds images, but the model's inputs are no single image of 1, 3 or 4 channels: "
            f"{describe(inputs)}. Save preprocessed samples as .npy or .npz instead."
        )
    height, width, channels = size

    def decode(file: Path | IO[bytes], name: str) -> np.ndarray:
        try:
            with warnings.catch_warnings(), Image.open(file, formats=_FORMATS) as image:
                image.draft(None, (2 * max(height, width),) * 2)  # JPEG: large photos are decoded 8 times as fast
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(f"it has {image.width} x {image.height} pixels, more than {_MOST_PIXELS}")
                upright = ImageOps.exif_transpose(image).convert(_MODES[channels])
                pixels = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
        except Exception as error:  # Pillow raises whatever a damaged file leads to in its decoder
            raise DataError(f"image {name} cannot be read: {error}. Repair or remove it.") from error
        values = preprocessing(pixels.reshape(height, width, channels))
        # A model with integer inputs takes pixels; rounding is exact for preprocessing "raw".
        return values if inputs[0].dtype.kind == "f" else np.rint(values).astype(np.int64)

    return decode
