"""``tfmpq convert``: a model and calibration data in, a quantized .tflite file out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from converters.errors import OptionError, RecipeError
from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.commands.outputs import check_outputs
from tfmpq.data.augmentation import DEFAULT_CROP, ImageViews, check_view_options, image_views
from tfmpq.data.calibration_files import Samples, open_calibration
from tfmpq.data.sample_arrays import describe
from tfmpq.files import write_atomic
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes
from tfmpq.recipe.rules import Recipe

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# Flags that tfmpq.convert takes under the same name.
OPTIONS = (
    "bits", "lowering", "optimize", "target", "max_latency_ratio", "algorithm", "max_points", "sensitivity", "weights",
    "io_dtype", "seed", "progress", "validate",
)  # fmt: skip
_BOUNDS = {"bits": (MIN_BITS, MAX_BITS), "max_points": (1, MAX_POINTS)}
_DATA = (
    "Calibration data: an .npz (one array for each input under its name; for a single input any one array), an .npy, "
    "or a directory of .npy files or of images."
)
_BUDGET = (
    "What second and further points may cost: extra:FRACTION of the bytes of the first points, bytes:SIZE of the whole "
    "file (1600000, 1.6MB, 1.5MiB), or epsilon:ERROR relative to each channel's output energy."
)
_VIEWS = "Images: views to take of each, the image itself and random crops of it; 4 is good for photos."


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("model", None, "A .keras or .h5 file, a SavedModel directory or a float .tflite file.", values)
    flags.DEFINE_string("data", None, _DATA, values)
    flags.DEFINE_string("output", None, "The .tflite file to write.", values)
    flags.DEFINE_string("budget", "extra:0.10", _BUDGET, values)
    flags.DEFINE_string("recipe", None, "A JSON file of rules for single layers.", values)
    _define_options(values)
    flags.DEFINE_boolean("open_batch", False, "Leave the file's batch size open; it is 1 otherwise.", values)
    flags.DEFINE_integer(
        "max_samples", None, "Take no more samples than this, evenly spaced; default: all.", 1, flag_values=values
    )
    define_image_flags(values)
    flags.DEFINE_integer("views", 1, _VIEWS, 1, flag_values=values)
    flags.DEFINE_float(
        "crop", DEFAULT_CROP, "Views: smallest share of height and width that a crop shows.", flag_values=values
    )
    flags.DEFINE_boolean(
        "flip", True, "Views: mirror half of the crops. Not where left and right differ, as in digits or text.", values
    )
    flags.DEFINE_string("report", None, "Write the report as JSON to this file.", values)


def _define_options(values: flags.FlagValues) -> None:
    """Flags for the options of `tfmpq.convert` that it takes under the same name, with their own words."""
    from tfmpq.options import Options, choices_of, help_of  # loads the file schema, which other commands do without

    defaults = Options()
    for name in OPTIONS:
        default, text, choices = getattr(defaults, name), help_of(name), choices_of(name)
        if choices:
            flags.DEFINE_enum(name, default, choices, text, values)
        elif isinstance(default, bool):
            flags.DEFINE_boolean(name, default, text, values)
        elif name == "max_latency_ratio":
            flags.DEFINE_float(name, default, text, flag_values=values)
        elif isinstance(default, int) or default is None:
            flags.DEFINE_integer(name, default, text, *_BOUNDS.get(name, ()), flag_values=values)
        else:
            flags.DEFINE_string(name, default, text, values)


def parse_budget(text: str) -> Budget:
    """A budget from ``extra:0.10``, ``bytes:1.6MB`` or ``epsilon:0.01``.

    Raises:
        OptionError: None of these, or a value out of range.
    """
    kind, _, value = text.partition(":")
    match = re.fullmatch(r"([0-9.]+(?:e-?[0-9]+)?)\s*([A-Za-z]*)", value.strip())
    try:
        amount, unit = float(match[1] if match else ""), (match[2] if match else "").upper()
        if kind == "extra" and not unit:
            return ExtraBits(amount)
        if kind == "epsilon" and not unit:
            return Epsilon(amount)
        if kind == "bytes" and unit in _UNITS:
            return MaxBytes(int(amount * _UNITS[unit]))
    except OptionError:
        raise
    except ValueError:  # no number
        pass
    raise OptionError(f"budget {text!r}: give extra:0.10, bytes:1600000 (or 1.6MB, 1.5MiB), or epsilon:0.01")


def _check_views(values: flags.FlagValues) -> None:
    if values.views > 1:
        check_view_options(values.views, values.crop, values.flip, values.seed)
        return
    for name in ("crop", "flip"):
        if values[name].present:
            raise UsageError(f"--{name} is about views: it needs --views=N, more than 1")


def _with_views(samples: Samples, inputs: Sequence[InputSpec], values: flags.FlagValues) -> Samples | ImageViews:
    if values.views == 1:
        return samples
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise UsageError(
            f"--views={values.views}: views are made of images (height, width, channels), but the model's inputs are "
            f"{describe(inputs)}. Leave --views out."
        )
    return image_views(samples, values.views, crop=values.crop, flip=values.flip, seed=values.seed)


def _read_recipe(path: str | None) -> Recipe | None:
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe '{path}' cannot be read: {error}") from error
    try:
        return Recipe.from_json(text)
    except RecipeError as error:
        raise RecipeError(f"'{path}': {error}") from error


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    budget, preprocessing, recipe = parse_budget(values.budget), read_preprocessing(values), _read_recipe(values.recipe)
    _check_views(values)
    check_outputs(values, ("output", "report"), sources=[values.model])

    import tfmpq  # loads TensorFlow as soon as a model is loaded
    from converters.frontend.load import load_model
    from tfmpq.sources import read_source

    batch_size = None if values.open_batch else 1
    source = read_source(values.model)
    model = load_model(source.model, batch_size=batch_size)
    samples = open_calibration(values.data, model.inputs, preprocessing=preprocessing, max_samples=values.max_samples)
    result = tfmpq.convert(
        replace(source, model=model),
        _with_views(samples, model.inputs, values),
        budget=budget,
        recipe=recipe,
        batch_size=batch_size,
        **{option: getattr(values, option) for option in OPTIONS},
    )
    result.save(values.output)
    if values.report is not None:
        write_atomic(values.report, json.dumps(result.report.to_dict(), indent=2).encode())
    print(result.report)


CONVERT = Command(
    name="convert",
    summary="quantize a Keras model, SavedModel or float .tflite file",
    arguments="--model MODEL --data DATA --output FILE [flags]",
    examples=(
        "tfmpq convert --model=net.keras --data=calibration.npz --output=net.tflite",
        "tfmpq convert --model=net.keras --data=photos/ --preprocess=unit --max_samples=200 --views=4 "
        "--output=net.tflite",
        "tfmpq convert --model=float.tflite --data=calibration.npz --output=small.tflite --lowering=fused "
        "--budget=bytes:1.6MB --recipe=recipe.json --report=report.json",
    ),
    define_flags=_define_flags,
    required=("model", "data", "output"),
    execute=_execute,
)
