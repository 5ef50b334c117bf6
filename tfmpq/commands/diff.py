"""``tfmpq diff``: where two files of one network differ, layer by layer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from converters.runtime.interpreter import IoDetail
from tfmpq.commands.command import Command
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.data.calibration_files import open_calibration

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

_LIMIT = 100


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "data",
        None,
        "Samples as the float model takes them: an .npz (one array for each input under its name; for a single input "
        "any one array), an .npy, or a directory of .npy files or of images.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "limit", _LIMIT, "Take no more samples than this, evenly spaced.", lower_bound=1, flag_values=values
    )
    define_image_flags(values)
    flags.DEFINE_boolean("json", False, "Print JSON instead of text.", flag_values=values)
    flags.DEFINE_boolean("progress", True, "Show a progress bar on stderr.", flag_values=values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    from tfmpq.analysis.diff import diff, input_details  # loads the schema, which other commands do without

    preprocessing = read_preprocessing(values)
    inputs = [_as_spec(detail) for detail in input_details(arguments[0])]
    samples = open_calibration(values.data, inputs, preprocessing=preprocessing, max_samples=values.limit)
    result = diff(arguments[0], arguments[1], samples, progress=values.progress)
    print(json.dumps(result.to_dict(), indent=2) if values.json else result)


def _as_spec(detail: IoDetail) -> InputSpec:
    """An input of a file as one of the float model it was made from."""
    from converters.frontend.float_model import InputSpec  # loads the schema too

    shape = tuple(None if n < 0 else n for n in detail.shape_signature or detail.shape)
    return InputSpec(detail.name, (), shape, np.dtype(np.float32) if detail.scale else detail.dtype)


DIFF = Command(
    name="diff",
    summary="compare two files of one network layer by layer, and say which recipe rules would help",
    arguments="FILE FILE2 --data DATA",
    examples=(
        "tfmpq diff float.tflite model.tflite --data=calibration.npz",
        "tfmpq diff int8.tflite model.tflite --data=photos/ --preprocess=unit --limit=50 --json",
    ),
    define_flags=_define_flags,
    execute=_execute,
    required=("data",),
    positional=2,
)
