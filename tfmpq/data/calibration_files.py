"""Calibration data on disk: an .npz or .npy file, or a directory of .npy files or of images.

Files are read one at a time on every pass, so memory does not grow with their number (an .npz is held as a whole).
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import DataError, MissingDependencyError, OptionError
from tfmpq.data.sample_arrays import describe, read_item
from tfmpq.files import read_npy, read_npz

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

Samples = Callable[[], Iterator[dict[str, np.ndarray]]]

ARRAY_SUFFIXES = (".npy", ".npz")
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow has others, some of which run programs
_MOST_PIXELS = 10**8  # that are decoded, 300 MB of colours; photos have 10 to 50 million
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of pixel values 0..255: ``(pixel - mean) / std``, for all channels or one number each."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not np.isfinite((*self.mean, *self.std)).all() or 0 in self.std:
            raise OptionError(f"mean {self.mean} and std {self.std} must be finite, and std not 0")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Float32 values of uint8 ``pixels`` (height, width, channels)."""
        channels = pixels.shape[-1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise OptionError(
                    f"{name} has {len(values)} values, but the model's images have {channels} channels: "
                    "give one for all or one for each"
                )
        return (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)


PREPROCESSINGS: Mapping[str, Preprocessing] = {
    "minus_one_one": Preprocessing((127.5,), (127.5,)),  # -1..1
    "zero_one": Preprocessing((0.0,), (255.0,)),  # 0..1
    "raw": Preprocessing((0.0,), (1.0,)),  # 0..255
}
_FORMER_NAMES = {"unit": "minus_one_one", "none": "raw"}
_HOW = (
    "minus_one_one (pixels to -1..1), zero_one (0..1), raw (0..255), or mean=M,std=S, numbers for all or each channel"
)


def preprocessing_of(text: str) -> Preprocessing:
    """What a name of :data:`PREPROCESSINGS` stands for, or ``mean=123.7,116.3,103.5,std=58.4``.

    Raises:
        OptionError: Neither.
    """
    if text in _FORMER_NAMES:
        name = _FORMER_NAMES[text]
        warnings.warn(f"preprocessing {text!r} is called {name!r} now", FutureWarning, stacklevel=2)
        return PREPROCESSINGS[name]
    if text in PREPROCESSINGS:
        return PREPROCESSINGS[text]
    number = r"[-+0-9.e]+"
    found = re.fullmatch(rf"mean=({number}(?:,{number})*),std=({number}(?:,{number})*)", text.replace(" ", ""))
    try:
        if found:
            mean, std = (tuple(float(part) for part in group.split(",")) for group in found.groups())
            return Preprocessing(mean, std)
    except OptionError:
        raise
    except ValueError:  # OptionError is one; this one is of float()
        pass
    raise OptionError(f"preprocessing {text!r} is not known; give {_HOW}")


def open_calibration(
    path: str | os.PathLike[str],
    inputs: Sequence[InputSpec],
    *,
    preprocessing: Preprocessing | None = None,
    max_samples: int | None = None,
) -> Samples:
    """Finds the samples at ``path``; what it returns starts a pass over them, as ``rep_dataset`` wants it.

    Args:
        path: an .npz file (one array, samples first, for each input under its name; one array of any name is enough for
            a single input, and labels ``y`` are ignored), an .npy file (one array, samples first), or a directory,
            searched with its subdirectories: of .npy files (one sample or batch each; .npz files for several inputs)
            or of images, which are resized to the model's input.
        inputs: the model's inputs.
        preprocessing: for images: there is no default, since wrong pixel ranges ruin a conversion silently.
        max_samples: take no more than this many (files of a directory), evenly spaced; None: all.

    Raises:
        DataError: Nothing usable is there.
        MissingDependencyError: Images need Pillow.
        OptionError: Images without ``preprocessing``.
    """
    path = Path(path)
    if path.is_dir():
        return _open_directory(path, inputs, preprocessing, max_samples)
    read = _read_array(path)
    arrays = read if isinstance(read, dict) else {path.stem: read}
    return _open_arrays(path, _by_input(path, arrays, inputs), inputs, max_samples)


def spaced(count: int, max_samples: int | None) -> list[int]:
    """At most ``max_samples`` of the numbers below ``count``, evenly spaced: a sorted listing starts with one class."""
    if max_samples is None or count <= max_samples:
        return list(range(count))
    return [i * count // max_samples for i in range(max_samples)]


def _by_input(path: Path, arrays: dict[str, np.ndarray], inputs: Sequence[InputSpec]) -> dict[str, np.ndarray]:
    names = {name for spec in inputs for name in (spec.name, *spec.aliases)}
    found = {name: array for name, array in arrays.items() if name in names or name != "y"}
    if len(inputs) == len(found) == 1:
        found = {inputs[0].name: next(iter(found.values()))}
    if not found or not set(found) <= names:
        raise DataError(
            f"'{path}' holds the arrays {sorted(arrays)}, but the model's inputs are {describe(inputs)}: save one "
            "array for each input under its name (any name will do for a single input)"
        )
    counts = {name: len(array) if array.ndim else 0 for name, array in found.items()}
    if len(set(counts.values())) > 1 or not min(counts.values()):
        raise DataError(f"'{path}': its arrays hold {counts} samples, but each must hold the same number, not 0")
    return found


def _open_arrays(
    path: Path, arrays: dict[str, np.ndarray], inputs: Sequence[InputSpec], max_samples: int | None
) -> Samples:
    rows = spaced(len(next(iter(arrays.values()))), max_samples)

    def samples() -> Iterator[dict[str, np.ndarray]]:
        for row in rows:
            item = {name: array[row] for name, array in arrays.items()}
            yield from read_item(item, inputs, f"sample {row} of '{path}'")

    return samples


def _open_directory(
    path: Path, inputs: Sequence[InputSpec], preprocessing: Preprocessing | None, max_samples: int | None
) -> Samples:
    chosen = choose_files(path, max_samples)
    read = _read_array if chosen[0].suffix.lower() in ARRAY_SUFFIXES else image_reader(path, inputs, preprocessing)

    def samples() -> Iterator[dict[str, np.ndarray]]:
        for file in chosen:
            yield from read_item(read(file), inputs, f"'{file}'")

    return samples


def choose_files(path: Path, max_samples: int | None) -> list[Path]:
    """The files of a directory that are read: arrays, or images.

    Raises:
        DataError: There are none, or both.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    arrays = [p for p in files if p.suffix.lower() in ARRAY_SUFFIXES]
    images = [p for p in files if p.suffix.lower() in IMAGE_SUFFIXES]
    if bool(arrays) == bool(images):
        what = "both arrays and images" if arrays else "neither arrays nor images"
        raise DataError(
            f"directory '{path}' holds {what}: give one of .npy files, or one of images ({', '.join(IMAGE_SUFFIXES)})"
        )
    return [(arrays or images)[i] for i in spaced(len(arrays or images), max_samples)]


def _read_array(file: Path) -> np.ndarray | dict[str, np.ndarray]:
    return read_npz(file) if file.suffix.lower() == ".npz" else read_npy(file)


def check_images(path: Path, preprocessing: Preprocessing | None) -> Preprocessing:
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
        raise OptionError(
            f"directory '{path}' holds images: say what pixel values the model was trained with, --preprocess={_HOW}"
        )
    return preprocessing


def image_reader(
    path: Path, inputs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Callable[[Path], np.ndarray]:
    """A function that reads an image as the model's one input, without a batch dimension.

    Raises:
        DataError: The model takes no images.
        MissingDependencyError: Images need Pillow.
        OptionError: ``preprocessing`` is None.
    """
    preprocessing = check_images(path, preprocessing)
    from PIL import Image, ImageOps

    size = [n for n in inputs[0].shape[1:] if n is not None]
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and len(size) < 3:
        raise DataError(
            f"directory '{path}' holds images, but the model leaves their size open: {describe(inputs)}. Give it, for "
            "example --sizes=224,224,3"
        )
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or len(size) != 3 or size[2] not in _MODES:
        raise DataError(
            f"directory '{path}' holds images, but the model's inputs are no single image of 1, 3 or 4 channels: "
            f"{describe(inputs)}. Save preprocessed samples as .npy or .npz instead."
        )
    height, width, channels = size

    def read(file: Path) -> np.ndarray:
        try:
            with warnings.catch_warnings(), Image.open(file, formats=_FORMATS) as image:
                image.draft(None, (2 * max(height, width),) * 2)  # JPEG: large photos are decoded 8 times as fast
                if image.width * image.height > _MOST_PIXELS:
                    raise ValueError(f"it has {image.width} x {image.height} pixels, more than {_MOST_PIXELS}")
                upright = ImageOps.exif_transpose(image).convert(_MODES[channels])
                pixels = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
        except Exception as error:  # Pillow raises whatever a damaged file leads to in its decoder
            raise DataError(f"image '{file}' cannot be read: {error}. Repair or remove it.") from error
        values = preprocessing(pixels.reshape(height, width, channels))
        # A model with integer inputs takes pixels; rounding is exact for preprocessing "raw".
        return values if inputs[0].dtype.kind == "f" else np.rint(values).astype(np.int64)

    return read
