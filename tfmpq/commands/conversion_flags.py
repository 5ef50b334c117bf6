"""Flags that say what is converted and how its data are read, of commands that start as ``tfmpq convert`` does."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from converters.errors import RecipeError
from converters.small_file import read_file
from tfmpq.commands.command import UsageError
from tfmpq.commands.image_flags import define_image_flags
from tfmpq.commands.model_flags import define_model_flags
from tfmpq.data.augmentation import DEFAULT_CROP, check_view_options
from tfmpq.recipe.rules import Recipe

_DATA = (
    "Calibration data: an .npz (one array for each input under its name; for a single input any one array), an .npy, "
    "a directory of .npy files or of images; a quoted glob of such files or of shards: 'shards/*.tar' (.tfrecord, "
    ".parquet, .npz); or FILE.py:FUNCTION or package.module:FUNCTION, which yields samples."
)
_OUTPUTS = (
    "NAME=FORM: how an output leaves the file: int8, float (its last steps are computed in float) or split (its parts "
    "become outputs of their own). Once for each output; others become float where int8 would lose channels."
)
_VIEWS = "Images: views to take of each, the image itself and random crops of it; 4 is good for photos."


def define_conversion_flags(values: flags.FlagValues) -> None:
    """Adds those of the model, its data and their views, recipes and outputs."""
    flags.DEFINE_string("model", None, "A .keras or .h5 file, a SavedModel directory or a float .tflite file.", values)
    flags.DEFINE_string("data", None, _DATA, values)
    flags.DEFINE_string("recipe", None, "A JSON file of rules for single layers.", values)
    flags.DEFINE_boolean("open_batch", False, "Leave the file's batch size open; it is 1 otherwise.", values)
    flags.DEFINE_integer(
        "max_samples", None, "Take no more samples than this, evenly spaced; default: all.", 1, flag_values=values
    )
    define_model_flags(values)
    flags.DEFINE_multi_string("outputs", None, _OUTPUTS, values)
    define_image_flags(values)
    flags.DEFINE_integer("views", 1, _VIEWS, 1, flag_values=values)
    flags.DEFINE_float(
        "crop", DEFAULT_CROP, "Views: smallest share of height and width that a crop shows.", flag_values=values
    )
    flags.DEFINE_boolean(
        "flip", True, "Views: mirror half of the crops. Not where left and right differ, as in digits or text.", values
    )


def check_views(values: flags.FlagValues) -> None:
    """Refuses options of views that are none, or without views.

    Raises:
        UsageError: There are no views.
        OptionError: See :func:`tfmpq.image_views`.
    """
    if values.views > 1:
        check_view_options(values.views, values.crop, values.flip, values.seed)
        return
    for name in ("crop", "flip"):
        if values[name].present:
            raise UsageError(f"--{name} is about views: it needs --views=N, more than 1")


def read_recipe(path: str | None) -> Recipe | None:
    """The rules in a file.

    Raises:
        RecipeError: It cannot be read, or holds none.
    """
    if path is None:
        return None
    try:
        text = read_file(path).decode("utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError(f"the recipe '{path}' cannot be read: {error}") from error
    try:
        return Recipe.from_json(text)
    except RecipeError as error:
        raise RecipeError(f"'{path}': {error}") from error


def read_forms(given: Sequence[str] | None) -> dict[str, str]:
    """Output name -> form; which names and forms there are is checked later.

    Raises:
        UsageError: It is no pair of them.
    """
    forms = {}
    for text in given or ():
        name, equals, form = text.rpartition("=")
        if not (name and equals and form):
            raise UsageError(f"--outputs={text}: give NAME=FORM, an output's name and int8, float or split")
        forms[name] = form
    return forms
