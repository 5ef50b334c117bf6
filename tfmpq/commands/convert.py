"""``tfmpq convert``: a model and calibration data in, a quantized .tflite file out."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from absl import flags

from tfmpq.budget import Budget, Epsilon, ExtraBits, MaxBytes
from tfmpq.calibration_files import PREPROCESSINGS, Preprocessing, open_calibration
from tfmpq.commands.command import Command, UsageError
from tfmpq.errors import OptionError, RecipeError
from tfmpq.files import write_atomic
from tfmpq.recipe import LOWERINGS, Recipe

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# Flags that tfmpq.convert takes under the same name.
OPTIONS = (
    "bits", "lowering", "algorithm", "max_points", "sensitivity", "weights", "io_dtype", "seed", "progress", "validate",
)  # fmt: skip


def _define_flags(values: flags.FlagValues) -> None:
    def text(name: str, default: str | None, help_text: str) -> None:
        flags.DEFINE_string(name, default, help_text, flag_values=values)

    def boolean(name: str, default: bool, help_text: str) -> None:
        flags.DEFINE_boolean(name, default, help_text, flag_values=values)

    def number(name: str, default: int | None, help_text: str, **options: Any) -> None:
        flags.DEFINE_integer(name, default, help_text, flag_values=values, **options)

    def choice(name: str, default: str | None, choices: tuple[str, ...], help_text: str) -> None:
        flags.DEFINE_enum(name, default, choices, help_text, flag_values=values)

    text("model", None, "A .keras or .h5 file, a SavedModel directory or a float .tflite file.")
    text(
        "data",
        None,
        "Calibration data: an .npz (one array for each input under its name; for a single input any one array), an "
        ".npy, or a directory of .npy files or of images.",
    )
    text("output", None, "The .tflite file to write.")
    number("bits", 4, "Bits of a point.", lower_bound=2, upper_bound=8)
    text(
        "budget",
        "extra:0.10",
        "What second and further points may cost: extra:FRACTION of the bytes of the first points, bytes:SIZE of the "
        "whole file (1600000, 1.6MB, 1.5MiB), or epsilon:ERROR relative to each channel's output energy.",
    )
    choice("lowering", "parallel", LOWERINGS, "Parallel low-bit operators, or one int8 operator with merged rows.")
    text("recipe", None, "A JSON file of rules for single layers.")
    text("algorithm", "radix", "How rows become points.")
    number("max_points", None, "Most points of a row; default: 2, but 1 at 8 bits.", lower_bound=1, upper_bound=4)
    choice("sensitivity", "auto", ("auto", "energy", "kl", "kl+gradient"), "How a layer's error is weighed.")
    choice("weights", "auto", ("auto", "int8", "int4"), "How parallel points are stored; auto: int4 where it is fast.")
    choice("io_dtype", "int8", ("int8", "uint8", "float32"), "Type of the file's inputs and outputs.")
    boolean("open_batch", False, "Leave the file's batch size open; it is 1 otherwise.")
    number("seed", 0, "Seed of everything random.")
    number("max_samples", None, "Take no more samples than this, evenly spaced; default: all.", lower_bound=1)
    choice(
        "preprocess", None, tuple(PREPROCESSINGS), "Images: pixels to -1..1 (unit), 0..1 (zero_one) or 0..255 (none)."
    )
    flags.DEFINE_list(
        "mean", None, "Images: mean to take off pixels 0..255, one for all channels or one each.", flag_values=values
    )
    flags.DEFINE_list("std", None, "Images: what to divide by after that.", flag_values=values)
    text("report", None, "Write the report as JSON to this file.")
    boolean("validate", True, "Check the file before it is written.")
    boolean("progress", True, "Show progress bars on stderr.")


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


def _preprocessing(values: flags.FlagValues) -> Preprocessing | None:
    if values.mean is None and values.std is None:
        return None if values.preprocess is None else PREPROCESSINGS[values.preprocess]
    if values.preprocess is not None:
        raise UsageError("give either --preprocess or --mean and --std")
    try:
        return Preprocessing(tuple(map(float, values.mean or ("0",))), tuple(map(float, values.std or ("1",))))
    except ValueError as error:
        raise UsageError(f"--mean and --std take numbers, separated by commas: {error}") from error


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


def _check_outputs(values: flags.FlagValues) -> None:
    """Finds out now, not after minutes of work, that a result could not be written."""
    for flag in ("output", "report"):
        path = getattr(values, flag)
        if path is None:
            continue
        parent = Path(path).absolute().parent
        if not parent.is_dir():
            raise UsageError(f"--{flag}={path}: there is no directory '{parent}'")
        if Path(path).is_dir() or not os.access(parent, os.W_OK):
            raise UsageError(f"--{flag}={path} cannot be written")
        if Path(path).exists() and Path(values.model).exists() and os.path.samefile(path, values.model):
            raise UsageError(f"--{flag}={path} would overwrite the model")


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    budget, preprocessing, recipe = parse_budget(values.budget), _preprocessing(values), _read_recipe(values.recipe)
    _check_outputs(values)

    import tfmpq  # loads TensorFlow as soon as a model is loaded
    from converters import frontend

    batch_size = None if values.open_batch else 1
    model = frontend.load_model(values.model, batch_size=batch_size)
    samples = open_calibration(values.data, model.inputs, preprocessing=preprocessing, max_samples=values.max_samples)
    result = tfmpq.convert(
        model,
        samples,
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
        "tfmpq convert --model=net.keras --data=photos/ --preprocess=unit --max_samples=200 --output=net.tflite",
        "tfmpq convert --model=float.tflite --data=calibration.npz --output=small.tflite --lowering=fused "
        "--budget=bytes:1.6MB --recipe=recipe.json --report=report.json",
    ),
    define_flags=_define_flags,
    required=("model", "data", "output"),
    execute=_execute,
)
