"""All files of a sweep beside their bases: what `tfmpq check` does with one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from converters.errors import ConversionError, OptionError
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.file_inputs import inputs_and_classes
from tfmpq.gate.check import check
from tfmpq.gate.limits import Limits
from tfmpq.gate.many import CheckedRow, SweepCheck
from tfmpq.gate.result import CheckResult
from tfmpq.storage import Place, fetched, place
from tfmpq.sweep.bases import BASES, FLOAT
from tfmpq.sweep.figures import labelled_of, runnable
from tfmpq.sweep.inputs import here
from tfmpq.sweep.plan import FILES, SCRATCH, plan_sweep, rows_of
from tfmpq.sweep.results import read_results
from tfmpq.sweep.spec import Spec, read_spec
from tfmpq.sweep.summary import label
from tfmpq.text import plural

Plain = dict[str, Any]


def check_rows(
    spec: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None,
    against: str,
    limits: Limits,
    *,
    progress: bool = False,
    **options: Any,
) -> SweepCheck:
    """Whether every file of a sweep keeps the limits; one that cannot be checked stops no other.

    Args:
        spec: path of the sweep's spec, whose rows must all be there.
        output_dir: of the sweep, or its URL; None: the path of the spec without its ending.
        against: ``"stock"`` or ``"float32"``: the sweep's own files of each model. Or the folder of a former sweep,
            whose files of the same names are the bases.
        limits: as for :func:`tfmpq.gate.check.check`.
        progress: show a bar on stderr.
        **options: ``metric``, ``kernels``, ``threads``, ``rounds`` and ``seed`` as there.

    Raises:
        OptionError: The spec is wrong, or names no samples that limits are judged on, or ``against`` is nothing of
            these.
        ConversionError: Rows are missing.
        OSError: Models or data of the spec cannot be read.
    """
    asked = read_spec(spec)
    folder = place(os.path.splitext(asked.path)[0] if output_dir is None else output_dir).absolute()
    if against not in BASES and not _is_folder(place(against)):
        raise OptionError(
            f"against={against}: for a sweep give {' or '.join(BASES)}, or the folder of a former one whose files are "
            "the bases"
        )
    unlabelled = [model.name for model in asked.models if model.labelled is None]
    if limits.need_samples and unlabelled:
        raise OptionError(
            f"'{asked.path}' names no labelled samples for {', '.join(unlabelled)}, which max_drop, min_agreement and "
            "max_kl are judged on: add labelled = PATH, or leave these limits out"
        )
    rows = _rows(asked, folder)
    models = {model.name: asdict(model) for model in asked.models}

    @cache
    def data(model: str) -> Labelled:  # read once for all its files
        return labelled_of(
            here(models[model]), *inputs_and_classes((folder / FILES / model / f"{FLOAT}.tflite").read_bytes())
        )

    checked = []
    for row in tqdm([row for row in rows if row["variant"] not in BASES], desc="files", disable=not progress):
        named = {"label": label(row), "file": "" if "error" in row else row["file"]}
        try:
            if "error" in row:
                raise ConversionError(f"the sweep made no file: {row['error']['message']}")
            labelled = data(row["model"]) if limits.need_samples else None
            result = _check(
                folder / row["file"], _base(row, folder, against), row["variant"], labelled, limits, options
            )
            checked.append(CheckedRow(**named, result=result))
        except (ConversionError, OSError) as error:
            checked.append(CheckedRow(**named, error=" ".join(str(error).split())))
    return SweepCheck(str(folder), against, checked)


def _is_folder(former: Place) -> bool:
    return former.is_dir() if isinstance(former, Path) else former.exists()


def _check(
    file: Place, against: Place, variant: str, data: Labelled | None, limits: Limits, options: Mapping[str, Any]
) -> CheckResult:
    with fetched(file) as own, fetched(against) as base:
        runs = runnable(variant, own.read_bytes())
        found = check(os.fspath(own), os.fspath(base), data, limits, runs=runs, **options)
    return replace(found, file=replace(found.file, path=str(file)), against=replace(found.against, path=str(against)))


def _rows(spec: Spec, folder: Place) -> list[Plain]:
    keys = [row["key"] for row in rows_of(plan_sweep(spec, folder, folder / SCRATCH))]
    rows = read_results(folder, keys)
    if len(rows) < len(keys):
        raise ConversionError(
            f"'{folder}' lacks {len(keys) - len(rows)} of {plural(len(keys), 'row')} that '{spec.path}' asks for: run "
            f"`tfmpq sweep {spec.path}` first."
        )
    return rows


def _base(row: Mapping[str, Any], folder: Place, against: str) -> Place:
    if against in BASES:
        return folder / FILES / row["model"] / f"{against}.tflite"
    base = place(against) / row["file"]
    if not base.exists():
        raise ConversionError(f"there is no base for it: no file '{base}'")
    return base
