"""Flags that say what pixel values a model expects of a directory of images."""

from __future__ import annotations

from absl import flags

from tfmpq.commands.command import UsageError
from tfmpq.data.preprocessing import Preprocessing, preprocessing_of


def define_image_flags(values: flags.FlagValues) -> None:
    """Adds ``--preprocess``, ``--mean`` and ``--std``."""
    flags.DEFINE_string(
        "preprocess",
        None,
        "Images: pixels to -1..1 (minus_one_one), to 0..1 (zero_one), as they are, 0..255 (raw), or "
        "mean=123.7,116.3,103.5,std=58.4,57.1,57.4 of pixels 0..255, one number or one a channel.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "mean", None, "Images: mean to take off pixels 0..255, one for all channels or one each.", flag_values=values
    )
    flags.DEFINE_list("std", None, "Images: what to divide by after that.", flag_values=values)


def read_preprocessing(values: flags.FlagValues) -> Preprocessing | None:
    """What the flags say; None: nothing."""
    if values.mean is None and values.std is None:
        return None if values.preprocess is None else preprocessing_of(values.preprocess)
    if values.preprocess is not None:
        raise UsageError("give either --preprocess or --mean and --std")
    try:
        return Preprocessing(tuple(map(float, values.mean or ("0",))), tuple(map(float, values.std or ("1",))))
    except ValueError as error:
        raise UsageError(f"--mean and --std take numbers, separated by commas: {error}") from error
