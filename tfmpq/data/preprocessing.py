"""What pixel values a model was trained with: said by name, or by mean and standard deviation."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.errors import OptionError


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
HOW = "minus_one_one (pixels to -1..1), zero_one (0..1), raw (0..255), or mean=M,std=S, numbers for all or each channel"


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
    raise OptionError(f"preprocessing {text!r} is not known; give {HOW}")
