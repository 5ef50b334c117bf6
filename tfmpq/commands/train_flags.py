"""Flags of ``tfmpq train``, and what can be wrong with them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import flags

from converters.errors import ModelError
from tfmpq.commands.budget_flags import define_classes_flag
from tfmpq.commands.command import UsageError
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.commands.option_flags import define_option_flags
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags
from tfmpq.data.class_folders import read_class_names
from tfmpq.data.early_check import check_evaluation
from tfmpq.data.evaluation_set import load_labelled
from tfmpq.data.images import check_images
from tfmpq.data.labelled_files import is_arrays, unlabelled_images
from tfmpq.data.named_files import files_of
from tfmpq.data.named_function import function_name
from tfmpq.data.preprocessing import Preprocessing

# Flags that tfmpq.convert takes under the same name.
OPTIONS = (
    "activations", "lowering", "optimize", "target", "max_latency_ratio", "sensitivity", "names", "io_dtype", "seed",
    "validate", "trust",
)  # fmt: skip
METHODS = ("lg_lsq", "ttq", "inq", "limited_precision", "differentiable", "distill")
# Flags that a method does without, beside its own.
_ONLY_FOR = {
    "integer_bits": ("limited_precision",),
    "points": ("differentiable", "distill"),
    "activation_bits": tuple(method for method in METHODS if method != "distill"),
    "rounding": tuple(method for method in METHODS if method != "distill"),
    "norms": tuple(method for method in METHODS if method != "distill"),
    "teacher": tuple(method for method in METHODS if method != "distill"),
    "temperature": tuple(method for method in METHODS if method != "distill"),
    "xla": tuple(method for method in METHODS if method != "distill"),
}
_OUTPUT_KINDS = ("probabilities", "logits", "binary", "binary_logits", "values")
_DATA = (
    "What to train on: an .npz with samples x (for several inputs: one array under each input's name) and labels y; a "
    "directory with a folder of images for each class (--preprocess); a quoted glob of shards with labels, "
    "'shards/*.tar' (.tfrecord, .parquet, .npz), read anew in every epoch; or FILE.py:FUNCTION or "
    "package.module:FUNCTION, which gives a tf.data.Dataset of (inputs, labels), in batches or not. Without labels, of "
    "'photos/*.jpg' say, the float model is the teacher."
)
_VALIDATION = (
    "What to measure on, in a form of --data; or the share of --data that is held back for it, 0: nothing. No epoch is "
    "chosen by it."
)


def define_train_flags(values: flags.FlagValues) -> None:
    """Adds the flags of ``tfmpq train``."""
    flags.DEFINE_string("model", None, "A .keras or .h5 file, Sequential or functional, of Keras 3.", values)
    flags.DEFINE_enum("method", None, METHODS, "How; see docs/training.md.", flag_values=values)
    flags.DEFINE_string("data", None, _DATA, values)
    flags.DEFINE_string("output", None, "The .tflite file to write.", values, short_name="o")
    flags.DEFINE_string("keras_output", None, "Write the trained Keras model too, *.keras.", values)
    flags.DEFINE_string("validation", "0.125", _VALIDATION, values)
    flags.DEFINE_integer("bits", None, "Bits of weights; default: the method's own, 4 for most.", flag_values=values)
    flags.DEFINE_integer("activation_bits", None, "Bits of activations; default: int8.", flag_values=values)
    flags.DEFINE_integer(
        "points",
        None,
        "differentiable, distill: most points a row; default: 2, of differentiable 4 at 2 bits.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "integer_bits", 1, "limited_precision: bits before the point, with the sign.", None, None, values
    )
    rounding = "In training; default: nearest, of limited_precision stochastic."
    flags.DEFINE_enum("rounding", None, ("nearest", "stochastic"), rounding, flag_values=values)
    flags.DEFINE_integer("epochs", None, "Passes over the data; default: 12, of distill 6.", flag_values=values)
    flags.DEFINE_integer("batch_size", None, "Samples a step; default: 32, of distill 16.", flag_values=values)
    rate = (
        "Of Adam, falling to 0 along a cosine, of inq one for each portion; default: 0.001, of lg_lsq 0.0003, of "
        "distill 0.002 of a row's step."
    )
    flags.DEFINE_float("learning_rate", None, rate, flag_values=values)
    norms = (
        "Whether batch normalizations stay as in inference, best for a few epochs; default: frozen, of inq and ttq "
        "trained."
    )
    flags.DEFINE_enum("norms", None, ("frozen", "trained"), norms, flag_values=values)
    share = (
        "Share of the float model's outputs in the loss, beside the labels; 0: labels only; default: 0.7, or 1 without."
    )
    flags.DEFINE_float("teacher", None, share, flag_values=values)
    flags.DEFINE_float("temperature", 2.0, "That the teacher's outputs are softened by.", flag_values=values)
    kinds = "What the model gives, where its last layer does not say it: classes, yes or no, or values."
    flags.DEFINE_enum("output_kind", None, _OUTPUT_KINDS, kinds, flag_values=values)
    flags.DEFINE_boolean("xla", False, "Compile the steps: up to a minute before the first one.", values)
    define_option_flags(values, OPTIONS)
    define_image_flags(values)
    define_classes_flag(values)
    define_result_flags(values)


@dataclass(frozen=True)
class TrainRequest:
    """What the flags say, checked as far as that is possible without TensorFlow.

    Attributes:
        preprocessing: of images.
        names: of classes.
        validation: data to measure on, or the share that is held back.
    """

    preprocessing: Preprocessing | None
    names: list[str] | None
    validation: str | float


def read_request(values: flags.FlagValues) -> TrainRequest:
    """Everything that can be wrong before TensorFlow loads, which takes many seconds.

    Raises:
        UsageError: Flags contradict each other, or a result cannot be written.
        ConversionError: The model or data are missing.
    """
    validation: str | float = values.validation
    with contextlib.suppress(ValueError):
        validation = float(values.validation)
    if isinstance(validation, float) and not 0 <= validation < 1:
        raise UsageError(f"--validation={values.validation}: give a share from 0 to less than 1, or data")
    for name, methods in _ONLY_FOR.items():
        if values[name].present and values.method not in methods:
            raise UsageError(f"--{name} is for {', '.join(methods)}, not for {values.method}")
    if values.keras_output is not None and Path(values.keras_output).suffix != ".keras":
        raise UsageError(f"--keras_output={values.keras_output}: Keras writes its models as .keras")
    data = [path for path in (values.data, validation) if isinstance(path, str)]
    files = [str(file) for path in data for file in files_of(path)]
    sources = [path for path in (values.model, *files, values.classes) if path]
    check_outputs(values, ("output", "keras_output", "json"), sources=sources)
    if not Path(values.model).exists():
        raise ModelError(
            f"'{values.model}' does not exist (working directory: {Path.cwd()}). Give a .keras or .h5 file."
        )
    if not Path(values.model).is_file() or Path(values.model).suffix not in (".keras", ".h5", ".hdf5"):
        raise ModelError(
            f"'{values.model}' is no .keras or .h5 file; training needs a Keras model. Other models: tfmpq convert "
            "--effort=distill."
        )
    preprocessing = read_preprocessing(values)
    names = None if values.classes is None else read_class_names(values.classes)
    for path in data:
        _check_data(path, preprocessing, names)
    return TrainRequest(preprocessing, names, validation)


def _check_data(path: str, preprocessing: Preprocessing | None, names: list[str] | None) -> None:
    if function_name(path) is not None:  # it may load TensorFlow
        return
    if unlabelled_images(path):
        check_images(f"'{path}'", preprocessing)
    elif is_arrays(path):
        load_labelled(path, class_labels=False)
    else:
        check_evaluation(path, preprocessing=preprocessing, names=names, needs_labels=False)


def course_options(values: flags.FlagValues) -> dict[str, Any]:
    """Arguments of :class:`tfmpq.training.course.Course`."""
    names = (
        "method", "bits", "integer_bits", "points", "activation_bits", "rounding", "epochs", "batch_size",
        "learning_rate", "norms", "teacher", "temperature", "xla", "seed",
    )  # fmt: skip
    given = {name: getattr(values, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}
