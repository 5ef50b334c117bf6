"""What a sweep is asked for: models, options, budgets and metrics, read from a file and checked as a whole."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, DataError, OptionError
from converters.small_file import read_file
from converters.targets import load_target, target_names
from tfmpq.data.augmentation import DEFAULT_CROP, check_view_options
from tfmpq.data.named_files import files_of
from tfmpq.data.named_function import function_name
from tfmpq.data.preprocessing import preprocessing_of
from tfmpq.data.shards.labelled import labelled_shards
from tfmpq.options import Options
from tfmpq.recipe.budget_text import parse_budget
from tfmpq.recipe.rules import Recipe
from tfmpq.storage import is_url
from tfmpq.sweep.bases import BASES
from tfmpq.sweep.collection import collection_problems
from tfmpq.sweep.inputs import PATHS, absolute_paths, missing
from tfmpq.sweep.located import read_located
from tfmpq.sweep.schema_check import Place, Problem, problems

LATENCY = "latency"
_DEFAULT = "default"


@dataclass(frozen=True)
class Model:
    """A network with its data; the fields are what ``tfmpq convert`` and ``tfmpq evaluate`` call them.

    Attributes:
        name: of its folder.
        path: of the model, absolute as all paths here.
        data: calibration data.
        labelled: samples to measure on; None: nothing is measured on samples.
        preprocess: of images.
        max_samples: calibration samples to take; None: all.
        classes: file of the classes' names.
        views, crop, flip: see :func:`tfmpq.image_views`.
        shards: glob of the samples whose moments rows are rounded by; None: those of ``data``.
        parts: jobs that share them.
        statistics: glob of what ``tfmpq collect`` wrote; in place of ``shards``.
        options: before the common ones.
    """

    name: str
    path: str
    data: str
    labelled: str | None = None
    preprocess: str | None = None
    max_samples: int | None = None
    classes: str | None = None
    views: int = 1
    crop: float = DEFAULT_CROP
    flip: bool = True
    shards: str | None = None
    parts: int = 1
    statistics: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Variant:
    """Options under a name, before those of the model and the common ones."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """A sweep.

    Attributes:
        path: of the file.
        models: at least one.
        options: of all.
        variants: at least one.
        budgets: as text.
        metrics: of :data:`spec_schema`.
    """

    path: str
    models: Sequence[Model]
    options: Mapping[str, Any]
    variants: Sequence[Variant]
    budgets: Sequence[str]
    metrics: Sequence[str]

    def options_of(self, model: Model, variant: Variant) -> dict[str, Any]:
        """Options of a file as plain data, but for its budget."""
        return {**self.options, **model.options, **variant.options}


def spec_schema() -> dict[str, Any]:
    """The JSON Schema of a spec."""
    return json.loads(files("tfmpq.sweep").joinpath("spec.schema.json").read_text("utf-8"))


def read_spec(path: str | os.PathLike[str]) -> Spec:
    """Reads the file of a sweep, TOML or JSON.

    Raises:
        OptionError: With all that is wrong, each with its line.
        FileFormatError: It cannot be read, or is neither TOML nor JSON.
    """
    located = read_located(path)
    found = list(problems(located.value, spec_schema()))
    if not found:
        spec = _spec(located.path, located.value)
        found = list(_problems_of(spec, located.value))
    if found:
        lines = dict.fromkeys((located.line(problem.place), problem.text) for problem in found)
        raise OptionError("; ".join(f"{located.path}:{line}: {text}" for line, text in sorted(lines)))
    return spec


def options_from(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of :func:`tfmpq.convert` from options as plain data, whose recipe is a list of rules.

    Raises:
        RecipeError: The rules are none.
    """
    chosen = dict(plain)
    if chosen.pop("open_batch", False):
        chosen["batch_size"] = None
    if "recipe" in chosen:
        chosen["recipe"] = Recipe.from_json(json.dumps(chosen["recipe"]))
    if chosen.get("activations") == "float" and "," in chosen.get("signature", ""):
        chosen["signature"] = chosen["signature"].split(",")
    return chosen


def _spec(path: str, value: Mapping[str, Any]) -> Spec:
    folder = Path(path).absolute().parent
    models = []
    for name, fields in value["models"].items():
        paths = absolute_paths(fields, folder)
        models.append(Model(name, **{**fields, **paths, "options": _with_paths(fields.get("options", {}), folder)}))
    variants = [Variant(v["name"], _with_paths(v.get("options", {}), folder)) for v in value.get("variants", ())]
    schema = spec_schema()["properties"]
    return Spec(
        path,
        models,
        _with_paths(value.get("options", {}), folder),
        variants or [Variant(_DEFAULT)],
        value.get("budgets", schema["budgets"]["default"]),
        value.get("metrics", schema["metrics"]["default"]),
    )


def _with_paths(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options whose paths are absolute."""
    found = dict(options)
    if "recipe" in found:
        found["recipe"] = os.path.normpath(folder / found["recipe"])
    if "target" in found and found["target"] not in target_names():
        found["target"] = os.path.normpath(folder / found["target"])
    return found


def with_recipe(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the rules of their recipe in place of its path: what jobs are given.

    Raises:
        ConversionError: The recipe cannot be read.
    """
    if "recipe" not in options:
        return dict(options)
    path = options["recipe"]
    try:
        recipe = Recipe.from_json(read_file(path).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"the recipe '{path}' cannot be read: {error}") from error
    return {**options, "recipe": json.loads(recipe.to_json())}


def _problems_of(spec: Spec, value: Mapping[str, Any]) -> Iterator[Problem]:
    """What the schema does not see."""
    yield from _twice([(("models", model.name), model.name) for model in spec.models], "model")
    names: list[tuple[Place, str]] = [(("variants", i, "name"), v.name) for i, v in enumerate(spec.variants)]
    yield from _twice(names, "variant")
    for place, name in names:
        if name.lower() in BASES:
            yield Problem(place, f"variant '{name}' is what a row is called that every model has: take another name")
    yield from _budget_problems(spec.budgets)
    for model in spec.models:
        place: Place = ("models", model.name)
        for key in PATHS:
            path = getattr(model, key)
            if path is not None and (why := missing(path)) is not None:
                yield Problem((*place, key), f"models.{model.name}.{key}: {why}")
        yield from collection_problems(asdict(model), place)
        for key in ("data", "labelled"):
            if getattr(model, key) is not None:
                yield from _data_problems(getattr(model, key), (*place, key))
        if model.labelled is None and set(spec.metrics) != {LATENCY}:
            yield Problem(
                place,
                f"models.{model.name} has no 'labelled' samples, which the metrics {', '.join(spec.metrics)} are "
                f'measured on: name some, or ask for metrics = ["{LATENCY}"] only',
            )
        try:
            if model.preprocess is not None:
                preprocessing_of(model.preprocess)
            check_view_options(model.views, model.crop, model.flip, 0)
        except ConversionError as error:
            yield Problem(place, f"models.{model.name}: {error}")
        for number, variant in enumerate(spec.variants):
            try:
                _check_options(spec.options_of(model, variant))
            except (ConversionError, TypeError) as error:
                places: list[tuple[Place, Mapping[str, Any]]] = [
                    (("variants", number, "options"), variant.options),
                    ((*place, "options"), model.options),
                    (("options",), spec.options),
                ]
                yield _blamed(str(error), places) or Problem(place, f"options of {model.name}, {variant.name}: {error}")


def _data_problems(data: str, place: Place) -> Iterator[Problem]:
    where = ".".join(map(str, place))
    try:
        if is_url(data):
            if (why := missing(data)) is not None:
                yield Problem(place, f"{where}: {why}")
            return
        if place[-1] == "labelled" and function_name(data) is None:
            labelled_shards(data)  # files of a sample each have no labels
        if not all(file.exists() for file in files_of(data)):
            yield Problem(place, f"{where}: '{data}' does not exist")
    except DataError as error:
        yield Problem(place, f"{where}: {error}")


def _check_options(options: Mapping[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the conversion will say it
        chosen = Options(**options_from(with_recipe(options)))
    load_target(chosen.target)


def _blamed(text: str, places: Sequence[tuple[Place, Mapping[str, Any]]]) -> Problem | None:
    """The error at the option that it is about."""
    for place, options in places:
        for name in options:
            if name in text:
                return Problem((*place, name), text)
    return None


def _twice(names: Sequence[tuple[Place, str]], what: str) -> Iterator[Problem]:
    """Names that would be the same folder where capitals do not count."""
    seen: dict[str, str] = {}
    for place, name in names:
        former = seen.get(name.lower())
        if former is not None:
            yield Problem(place, f"{what} '{name}' is there twice" + ("" if former == name else f", as '{former}' too"))
        seen[name.lower()] = name


def _budget_problems(budgets: Sequence[str]) -> Iterator[Problem]:
    seen: dict[Any, str] = {}
    for number, text in enumerate(budgets):
        try:
            budget = parse_budget(text)
        except OptionError as error:
            yield Problem(("budgets", number), str(error))
            continue
        if budget in seen:
            yield Problem(("budgets", number), f"budget '{text}' is there twice, as '{seen[budget]}'")
        seen[budget] = text
