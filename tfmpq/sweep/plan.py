"""The jobs of a sweep: for every model and variant one that prepares, and a row for every budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from converters.targets import target_names
from tfmpq.cache.digest import digest_of
from tfmpq.cache.versions import versions
from tfmpq.storage import Place
from tfmpq.sweep.bases import BASES
from tfmpq.sweep.collection import collection, collection_identity
from tfmpq.sweep.identity import content_digest, data_digest
from tfmpq.sweep.inputs import here
from tfmpq.sweep.jobs import PREPARE, ROW
from tfmpq.sweep.spec import LATENCY, Model, Spec, Variant, with_recipe

FILES = "files"
SCRATCH = ".scratch"  # in the output folder until all rows are there
Plain = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Jobs that share what is prepared.

    Attributes:
        prepare: the job before all rows.
        rows: jobs that may run in any order after it.
        collect: jobs that may run in any order before it; groups may have the same ones.
    """

    prepare: Plain
    rows: Sequence[Plain]
    collect: Sequence[Plain] = ()


def plan_sweep(spec: Spec, output: Place, cache: Place) -> list[Group]:
    """All jobs, in the order of the spec. Models and data are read once for their digests, and no times of files.

    Args:
        spec: the sweep.
        output: its folder.
        cache: folder of the cache.

    Raises:
        OSError: A model or data cannot be read.
    """
    return [
        _group(spec, model, variant, identity, output.absolute(), cache.absolute())
        for model in spec.models
        for identity in [_identity(model)]
        for variant in spec.variants
    ]


def missing(groups: Sequence[Group], done: Mapping[str, object]) -> list[Group]:
    """Groups with the rows that are not there yet."""
    left = [replace(group, rows=[row for row in group.rows if row["key"] not in done]) for group in groups]
    return [group for group in left if group.rows]


def _group(spec: Spec, model: Model, variant: Variant, identity: Plain, output: Place, cache: Place) -> Group:
    options = with_recipe(spec.options_of(model, variant))
    fields = {name: value for name, value in asdict(model).items() if name != "options"}
    common = {
        "model": fields,
        "options": options,
        "metrics": sorted({*spec.metrics} - {LATENCY}),
        "output": str(output),
        "scratch": str(output / SCRATCH),
        "cache": str(cache),
        "samples": digest_of({name: identity[name] for name in ("labelled", "classes", "preprocess")}),
    }
    target = options.get("target")
    further = [versions()]
    further += [] if target is None or target in target_names() else [content_digest(target)]
    known = [identity, options, common["metrics"], *further]
    collect = collection(common, identity, further)
    common["collected"] = [part["file"] for part in collect]

    def row(name: str, budget: str, file: str) -> Plain:
        key = digest_of(model.name, name, budget, known)
        return {"kind": ROW, "key": key, **common, "variant": name, "budget": budget, "file": f"{FILES}/{file}.tflite"}

    rows = [row(name, "", f"{model.name}/{name}") for name in BASES] if variant is spec.variants[0] else []
    for budget in spec.budgets:
        rows.append(row(variant.name, budget, f"{model.name}/{variant.name}/{_safe(budget)}"))
    prepare = {"kind": PREPARE, "key": digest_of(model.name, variant.name, known), **common, "variant": variant.name}
    return Group(prepare, rows, collect)


def _identity(model: Model) -> Plain:
    """What a model's rows depend on beside options."""
    fields = ("preprocess", "max_samples", "views", "crop", "flip")
    files = here(asdict(model))
    labelled, classes = files["labelled"], files["classes"]
    return {
        **{name: getattr(model, name) for name in fields},
        **collection_identity(files),
        "path": content_digest(files["path"]),
        "data": data_digest(files["data"]),
        "labelled": None if labelled is None else data_digest(labelled),
        "classes": None if classes is None else content_digest(classes),
    }


def _safe(budget: str) -> str:
    """A budget as the name of a file."""
    return "_".join(budget.replace(":", " ").split())


def rows_of(groups: Sequence[Group]) -> Iterator[Plain]:
    """The rows of all groups, in order."""
    for group in groups:
        yield from group.rows
