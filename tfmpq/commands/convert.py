"""``tfmpq convert``: a model and calibration data in, a quantized .tflite file out."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from converters.errors import CacheWarning, DataWarning, ModelError
from tfmpq.commands.budget_flags import define_budget_flags, read_budget
from tfmpq.commands.command import Command
from tfmpq.commands.conversion_flags import check_views, define_conversion_flags, read_forms, read_recipe
from tfmpq.commands.image_flags import read_preprocessing
from tfmpq.commands.model_loading import load_source
from tfmpq.commands.option_flags import define_option_flags
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_html_flag, define_result_flags, document, give_json, made_with, say
from tfmpq.commands.warning_lines import warning_lines
from tfmpq.data.augmentation import views_of_samples
from tfmpq.data.calibration_files import open_calibration
from tfmpq.data.class_folders import read_class_names
from tfmpq.data.early_check import check_calibration, check_evaluation
from tfmpq.data.file_inputs import inputs_and_classes
from tfmpq.data.labelled_files import read_labelled
from tfmpq.data.named_files import files_of
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.shards.formats import matching
from tfmpq.files import write_atomic
from tfmpq.names_file import names_path
from tfmpq.recipe.budgets import Budget
from tfmpq.recipe.rules import LayerSettings, Recipe

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec
    from tfmpq.report.report import Report

_WRITTEN = ("output", "report", "write_recipe", "json", "html", "model_explorer")
# Flags that tfmpq.convert takes under the same name.
OPTIONS = (
    "activations", "bits", "lowering", "optimize", "effort", "target", "max_latency_ratio", "algorithm", "max_points",
    "sensitivity", "weights", "names", "bias_scales", "equalize", "ranges", "io_dtype", "seed", "cache", "progress",
    "validate", "strict", "trust",
)  # fmt: skip
_NODE_DATA = (
    "Write what Model Explorer colours the file's graph by: error to this file, and beside it bits and form "
    "(NAME.form.json) and what the delegate runs (NAME.delegate.json)."
)


def _define_flags(values: flags.FlagValues) -> None:
    define_conversion_flags(values)
    flags.DEFINE_string("output", None, "The .tflite file to write.", values, short_name="o")
    define_budget_flags(values)
    flags.DEFINE_string("write_recipe", None, "Write what was decided for every layer to this file.", values)
    define_option_flags(values, OPTIONS)
    flags.DEFINE_string(
        "statistics",
        None,
        "A quoted glob of all parts that `tfmpq collect` wrote with the same model, data and options: moments of what "
        "layers read are those of its samples.",
        flag_values=values,
    )
    flags.DEFINE_string("report", None, "Former spelling of --json=FILE.", values)
    define_html_flag(values)
    flags.DEFINE_string("model_explorer", None, _NODE_DATA, values)
    define_result_flags(values, progress=False)  # an option of the conversion says it


@dataclass(frozen=True)
class _Request:
    """What the flags say, checked as far as that is possible without the model."""

    budget: Budget
    preprocessing: Preprocessing | None
    recipe: Recipe | None
    options: dict[str, Any]
    labelled: _Labelled

    def lowering_of(self, layer: str) -> str:
        """The lowering asked for."""
        settings = LayerSettings(self.options["bits"], 0, self.options["algorithm"], self.options["lowering"])
        return (self.recipe or Recipe()).resolve(layer, settings).lowering


class _Labelled:
    """Top-1 on ``--eval_data`` in percent; the data are read once the model's inputs are known."""

    def __init__(self, values: flags.FlagValues) -> None:
        self._path = values.eval_data
        self._names = None if values.classes is None else read_class_names(values.classes)
        self._data: Any = None

    def check(self, preprocessing: Preprocessing | None) -> None:
        if self._path is not None:
            check_evaluation(self._path, preprocessing=preprocessing, names=self._names)

    def open(self, model: bytes, inputs: Sequence[InputSpec], preprocessing: Preprocessing | None) -> None:
        if self._path is not None:
            _, classes = inputs_and_classes(model)
            self._data = read_labelled(
                self._path, inputs, preprocessing=preprocessing, names=self._names, classes=classes
            )

    def score(self, content: bytes) -> float:
        from tfmpq.analysis.evaluation import evaluate

        return 100 * (evaluate(content, self._data).top1 or 0.0)


def _beside(values: flags.FlagValues) -> dict[str | os.PathLike[str], str]:
    """Files that no flag names by themselves -> the flag."""
    found: dict[str | os.PathLike[str], str] = {}
    if values.names == "strip":
        found[names_path(values.output)] = "output"
    if values.model_explorer is not None:
        from tfmpq.report.node_data import node_data_paths  # loads the file schema, which other commands do without

        found |= dict.fromkeys(node_data_paths(values.model_explorer)[1:], "model_explorer")
    return found


def _read_request(values: flags.FlagValues) -> _Request:
    """Everything that can be wrong before TensorFlow loads, which takes many seconds."""
    labelled = _Labelled(values)
    budget, preprocessing = read_budget(values, labelled.score), read_preprocessing(values)
    recipe = read_recipe(values.recipe)
    check_views(values)
    sources = [path for name in ("model", "recipe", "classes", "target") if (path := getattr(values, name))]
    sources += [str(path) for data in (values.data, values.eval_data) if data for path in files_of(data)]
    check_outputs(values, _WRITTEN, sources=sources, beside=_beside(values))
    from converters.targets import load_target
    from tfmpq.options import Options

    options = {**{option: getattr(values, option) for option in OPTIONS}, "outputs": read_forms(values.outputs)}
    options["statistics"] = None if values.statistics is None else matching(values.statistics, "parts by tfmpq collect")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the conversion will say it
        Options(budget=budget, recipe=recipe, **options)
    load_target(values.target)
    if values.cache is not None:
        from tfmpq.cache.anywhere import open_store

        open_store(values.cache)
    if options["statistics"] is not None:
        from tfmpq.measure.partial import check_complete

        check_complete(options["statistics"])
    if not Path(values.model).exists():
        raise ModelError(f"'{values.model}' does not exist (working directory: {Path.cwd()}). Check the path.")
    check_calibration(values.data, preprocessing=preprocessing, max_samples=values.max_samples)
    labelled.check(preprocessing)
    return _Request(budget, preprocessing, recipe, options, labelled)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    request = _read_request(values)

    import tfmpq
    from tfmpq.commands.verdict import verdict
    from tfmpq.report.settled_recipe import settled_recipe

    batch_size = None if values.open_batch else 1
    open_data = partial(
        open_calibration, values.data, preprocessing=request.preprocessing, max_samples=values.max_samples
    )
    source = load_source(values, open_data, batch_size)
    model: Any = source.model
    how = {name: getattr(values, name) for name in ("crop", "flip", "seed")}
    views = views_of_samples(open_data(model.inputs), model.inputs, values.views, **how)
    request.labelled.open(model.flatbuffer, model.inputs, request.preprocessing)
    with warning_lines("convert", DataWarning), warning_lines("convert", CacheWarning):
        result = tfmpq.convert(
            source,
            views,
            budget=request.budget,
            recipe=request.recipe,
            batch_size=batch_size,
            **request.options,
        )
    result.save(values.output)
    settled = settled_recipe(result.plan, result.report.layers, asked=request.lowering_of, given=request.recipe)
    if values.write_recipe is not None:
        write_atomic(values.write_recipe, settled.to_json().encode())
    files = {name: getattr(values, name) for name in ("model", "data", "output", "recipe", "write_recipe", "eval_data")}
    content = {**result.report.to_dict(), "settled_recipe": json.loads(settled.to_json())}
    if values.report is not None:
        warnings.warn("--report is called --json now", FutureWarning, stacklevel=1)
        write_atomic(values.report, document(values, content, command="convert", files=files).encode())
    give_json(values, content, command="convert", files=files)
    if values.html is not None:
        about = made_with(values, command="convert", files=files)
        result.report.save_html(values.html, title=Path(values.output).name, about=[about])
    if values.model_explorer is not None:
        result.save_model_explorer(values.model_explorer)
    say(values, f"{verdict(values.output, result.report)}\n\n{result.report}{_suggested_recipe(result.report)}")


def _suggested_recipe(report: Report) -> str:
    """The report's advice as ``--recipe`` takes it."""
    if not report.suggestions:
        return ""
    recipe = Recipe([suggestion.rule for suggestion in report.suggestions])
    return f"\n\nthe same rules as a file for --recipe:\n{json.dumps(json.loads(recipe.to_json()))}"


CONVERT = Command(
    name="convert",
    summary="quantize a Keras model, SavedModel or float .tflite file",
    arguments="MODEL --data DATA -o FILE [flags]",
    examples=(
        "tfmpq convert net.keras --data=calibration.npz -o net.tflite",
        "tfmpq convert net.keras --data=photos/ --preprocess=minus_one_one --max_samples=200 --views=4 -o net.tflite",
        "tfmpq convert net.keras --data='shards/*.tar' --max_samples=500 --preprocess=minus_one_one -o net.tflite",
        "tfmpq convert encoder.keras --data=sentences.npz --activations=float -o encoder.tflite",
        "tfmpq convert net.keras --data=calibration.npz --max_drop=1 --eval_data=labelled.npz -o net.tflite",
        "tfmpq convert float.tflite --data=calibration.npz -o small.tflite --lowering=fused --budget=bytes:1.6MB "
        "--recipe=recipe.json --json=report.json",
    ),
    define_flags=_define_flags,
    required=("model", "data", "output"),
    stands_for=("model",),
    execute=_execute,
)
