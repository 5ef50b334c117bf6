"""``tfmpq compare``: other papers' methods and tfmpq on one model."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from converters.errors import DataWarning, MissingDependencyError, ModelError
from tfmpq.commands.budget_flags import define_classes_flag
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.commands.model_flags import define_model_flags, read_sizes
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, made_by, say
from tfmpq.commands.warning_lines import warning_lines
from tfmpq.comparison.methods import METHODS, chosen_methods
from tfmpq.data.calibration_files import open_calibration
from tfmpq.data.class_folders import read_class_names
from tfmpq.data.early_check import check_calibration, check_evaluation
from tfmpq.data.file_inputs import inputs_and_classes
from tfmpq.data.labelled_files import LABELLED, read_labelled
from tfmpq.data.named_files import files_of
from tfmpq.html.page import save_page
from tfmpq.schemas import schema_id

if TYPE_CHECKING:
    from tfmpq.comparison.result import MethodComparison

_OPTIONS = ("lowering", "target", "seed", "trust")  # of `tfmpq.compare` under the same name
_DATA = "Calibration data, as of `tfmpq convert`."
_LABELLED = f"What the files are judged on: {LABELLED}. Labels may be left out."


def _define_flags(values: flags.FlagValues) -> None:
    from tfmpq.options import Options, choices_of, help_of  # loads the file schema, which other commands do without

    defaults = Options()
    flags.DEFINE_string("model", None, "A .keras or .h5 file, a SavedModel directory or a float .tflite file.", values)
    flags.DEFINE_string("data", None, _DATA, values)
    flags.DEFINE_string("labelled", None, _LABELLED, values)
    flags.DEFINE_list("bits", "4,8", "Bits of low-bit layers, separated by commas.", values)
    flags.DEFINE_list("methods", None, f"Which, separated by commas: {', '.join(METHODS)}; default: all.", values)
    flags.DEFINE_string(
        "output_dir",
        None,
        "A directory, made if need be, for compare.md, .csv, .json, .html and .png.",
        values,
    )
    flags.DEFINE_boolean("latency", True, "Measure latencies, which wants a machine with nothing else to do.", values)
    flags.DEFINE_integer("max_samples", None, "Take no more calibration samples than this.", 1, flag_values=values)
    flags.DEFINE_enum("lowering", defaults.lowering, choices_of("lowering"), help_of("lowering"), values)
    flags.DEFINE_string("target", str(defaults.target), help_of("target"), values)
    flags.DEFINE_integer("seed", defaults.seed, help_of("seed"), flag_values=values)
    flags.DEFINE_boolean("trust", defaults.trust, help_of("trust"), values)
    define_model_flags(values)
    define_image_flags(values)
    define_classes_flag(values)
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    try:
        bits = [int(text) for text in values.bits]
    except ValueError as error:
        raise UsageError(f"--bits takes whole numbers, separated by commas: {error}") from error
    preprocessing = read_preprocessing(values)
    names = None if values.classes is None else read_class_names(values.classes)
    chosen_methods(values.methods)
    sources = {name: getattr(values, name) for name in ("model", "data", "labelled", "classes")}
    data = [*files_of(values.data), *files_of(values.labelled)]
    read = [path for path in (values.model, values.classes) if path]
    check_outputs(values, ("json",), sources=[*read, *map(str, data)])
    folder = None if values.output_dir is None else Path(values.output_dir)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"--output_dir={folder} is no directory")
    if not Path(values.model).exists():
        raise ModelError(f"'{values.model}' does not exist (working directory: {Path.cwd()}). Check the path.")
    check_calibration(values.data, preprocessing=preprocessing, max_samples=values.max_samples)
    check_evaluation(values.labelled, preprocessing=preprocessing, names=names, needs_labels=False)

    import tfmpq  # loads TensorFlow as soon as a model is loaded
    from converters.frontend.load import load_model
    from tfmpq.comparison.page import compare_page
    from tfmpq.sources import read_source

    source = read_source(values.model, trust=values.trust)
    open_data = partial(open_calibration, values.data, preprocessing=preprocessing, max_samples=values.max_samples)
    sizes = read_sizes(values, open_data)
    model = load_model(source.model, batch_size=1, signature=values.signature, sizes=sizes, trust=values.trust)
    _, classes = inputs_and_classes(model.flatbuffer)
    labelled = read_labelled(values.labelled, model.inputs, preprocessing=preprocessing, names=names, classes=classes)
    with warning_lines("compare", DataWarning):
        result = tfmpq.compare(
            replace(source, model=model),
            open_data(model.inputs),
            labelled,
            bits=bits,
            methods=values.methods,
            latency=values.latency,
            progress=values.progress,
            signature=values.signature,
            **{name: getattr(values, name) for name in _OPTIONS},
        )
    files = {**sources, "output_dir": values.output_dir}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        made = made_by(values, command="compare", files=files)
        result.save(folder, schema=schema_id("compare"), made_by=made)
        save_page(folder / "compare.html", compare_page(result))
    give_json(values, result.to_dict(), command="compare", files=files)
    say(values, result)
    if folder is not None:
        _plot(result, folder)


def _plot(result: MethodComparison, folder: Path) -> None:
    """Draws it; the tables are not lost where that needs a package that is missing."""
    from tfmpq.comparison.plot import plot_compare

    try:
        plot_compare(result, folder / "compare.png")
    except MissingDependencyError as error:
        print(f"tfmpq compare: no plot: {error}", file=sys.stderr)


COMPARE = Command(
    name="compare",
    summary="other papers' methods and tfmpq on one model: accuracy, size, latency",
    arguments="MODEL --data DATA --labelled LABELLED [flags]",
    examples=(
        "tfmpq compare net.keras --data=calibration.npz --labelled=test.npz --output_dir=comparison",
        "tfmpq compare net.keras --data=calibration.npz --labelled=test.npz --bits=4 --methods=nearest,ocs,tfmpq",
    ),
    define_flags=_define_flags,
    required=("model", "data", "labelled"),
    stands_for=("model",),
    execute=_execute,
)
