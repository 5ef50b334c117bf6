"""``tfmpq check``: whether a file, or all files of a sweep, may be released beside others."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from absl import flags

from converters.errors import ConversionError
from converters.paths import is_special
from converters.runtime.interpreter import Kernels
from tfmpq.analysis.metrics import METRIC_NAMES, TOP1
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.evaluation_data import define_data_flags, read_evaluation
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.data.labelled_files import LABELLED
from tfmpq.data.named_files import files_of
from tfmpq.files import write_atomic
from tfmpq.gate.check import check
from tfmpq.gate.junit import errored_junit, is_junit, to_junit
from tfmpq.gate.limits import Limits
from tfmpq.gate.many import SweepCheck
from tfmpq.gate.result import CheckResult
from tfmpq.recipe.budget_text import parse_size
from tfmpq.text import plural

_SPECS = (".toml", ".json")  # endings of what a sweep is asked for by
# Flags that tfmpq.check takes under the same name and as they are.
OPTIONS = ("metric", "kernels", "threads", "rounds", "seed", "signature", "progress")
_LIMITS = {
    "max_drop": "By how much top-1 may be lower than the base's, in percentage points; with --metric by how much that, "
    "in its own unit (perplexity: higher; cosine: below 1).",
    "min_agreement": "Smallest share of samples with the base's class, 0..1.",
    "max_kl": "Largest mean KL divergence of the class probabilities from the base's, nats.",
    "max_latency_ratio": "Largest time of an inference relative to the base's, measured here and now.",
}


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "against",
        None,
        "The base: a former release, stock int8 or the float file. For a sweep: stock, float32, or the folder of a "
        "former sweep, or its URL.",
        values,
    )
    flags.DEFINE_string(
        "output_dir",
        None,
        "Folder of the sweep, or its URL; default: the spec's path without its ending.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "labelled",
        None,
        f"What both files are judged on: {LABELLED}. Labels are what --metric takes; without them --min_agreement and "
        "--max_kl can be told.",
        values,
    )
    for name, text in _LIMITS.items():
        flags.DEFINE_float(name, None, text, flag_values=values)
    flags.DEFINE_string(
        "max_bytes", None, "Largest size: 1600000, 1.6MB, 1.5MiB, or 0.6x for 0.6 of the base's.", values
    )
    flags.DEFINE_boolean("allow_untold", False, "Limits that cannot be told from the samples pass.", values)
    flags.DEFINE_string("junit", None, "Write the result to this file as JUnit XML, a test case a limit.", values)
    flags.DEFINE_enum(
        "metric", TOP1, list(METRIC_NAMES), "The score of --max_drop, as of `tfmpq evaluate`.", flag_values=values
    )
    flags.DEFINE_enum("kernels", "xnnpack", list(get_args(Kernels)), "Kernels to run with.", flag_values=values)
    flags.DEFINE_integer("threads", 1, "CPU threads.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("rounds", 25, "Rounds of the time measurement, six or more.", 6, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of bootstrap samples and of the time measurement.", 0, flag_values=values)
    flags.DEFINE_string(
        "signature", None, "Which one to run, of files with several; default: that of the main graph.", values
    )
    define_data_flags(values)
    define_result_flags(values)


def _clear(arguments: Sequence[str]) -> None:
    """Removes what an earlier check left at --junit, which must not pass for this one's whatever comes of it.

    Nothing else is removed: what the command line asks for is not checked yet.
    """
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        path = value if equals else following
        if name in ("--junit", "-junit") and "\0" not in path and os.path.isfile(path):
            with open(path, "rb") as file:
                ours = is_junit(file.read(200))
            if ours:
                Path(path).unlink()


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    file = arguments[0]
    is_sweep = file.endswith(_SPECS)
    limits = _read_limits(values, is_sweep=is_sweep)
    sources = {name: getattr(values, name) for name in ("against", "labelled", "classes")} | {"file": file}
    read = [path for name, path in sources.items() if path and name != "labelled"]
    read += map(str, files_of(values.labelled)) if values.labelled else ()
    check_outputs(values, ("json", "junit"), sources=read)
    start = time.perf_counter()
    if values.junit is not None and not is_special(values.junit):  # for whoever kills this process
        _write_error(values, file, limits, "the check did not end", start)
    try:
        reads = limits.need_samples and not is_sweep
        data = read_evaluation(values, file, values.labelled) if reads else None
        options = {name: getattr(values, name) for name in OPTIONS if not is_sweep or name != "signature"}
        if is_sweep:
            from tfmpq.sweep.check_rows import check_rows  # loads the file schema, which the rest does without

            result = check_rows(file, values.output_dir, values.against, limits, **options)
        else:
            result = check(file, values.against, data, limits, **options)
        if values.junit is not None:
            seconds = time.perf_counter() - start
            write_atomic(values.junit, to_junit(result, seconds=seconds, allow_untold=values.allow_untold))
    except BaseException as error:
        if values.junit is not None:
            message = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
            _write_error(values, file, limits, message, start)
        raise
    schema = "check_sweep" if is_sweep else "check"
    give_json(values, result.to_dict(), command="check", files=sources, schema=schema)
    say(values, result)
    _raise_unless_passed(result, allow_untold=values.allow_untold)


def _write_error(values: flags.FlagValues, file: str, limits: Limits, message: str, start: float) -> None:
    seconds = time.perf_counter() - start
    write_atomic(values.junit, errored_junit(file, values.against, limits.asked(), message, seconds=seconds))


def _read_limits(values: flags.FlagValues, *, is_sweep: bool) -> Limits:
    """Limits that are set, and data for those that need them."""
    size = values.max_bytes
    match = re.fullmatch(r"([0-9.]+(?:e-?[0-9]+)?)\s*x", size or "")
    try:
        ratio = None if match is None else float(match[1])
    except ValueError:
        ratio = 0.0
    most = parse_size(size) if size is not None and match is None else None
    if (size is not None and match is None and most is None) or ratio == 0:
        raise UsageError(f"--max_bytes={size}: give 1600000, 1.6MB, 1.5MiB, or 0.6x for 0.6 of the base's")
    limits = Limits(**{name: getattr(values, name) for name in _LIMITS}, max_bytes=most, max_bytes_ratio=ratio)
    if not limits.asked():
        raise UsageError(f"give at least one limit: {', '.join(f'--{name}' for name in (*_LIMITS, 'max_bytes'))}")
    if is_sweep:
        taken = [
            name for name in ("labelled", "classes", "preprocess", "signature") if getattr(values, name) is not None
        ]
        if taken:
            raise UsageError(f"--{taken[0]}: the spec of a sweep says that for each model")
    elif values.output_dir is not None:
        raise UsageError("--output_dir is that of a sweep, whose spec is to be checked: SPEC.toml or SPEC.json")
    if limits.need_samples and values.labelled is None and not is_sweep:
        raise UsageError("--max_drop, --min_agreement and --max_kl are judged on samples: --labelled=DATA")
    return limits


def _raise_unless_passed(result: CheckResult | SweepCheck, *, allow_untold: bool) -> None:
    problems = [*result.but("failed"), *([] if allow_untold else result.but("cannot be told"))]
    if not problems:
        return
    if isinstance(result, SweepCheck):
        bad = sum(row.verdict == "failed" or (row.verdict != "held" and not allow_untold) for row in result.rows)
        raise ConversionError(f"{bad} of {plural(len(result.rows), 'file')} did not pass: {problems[0]}")
    several = f"{len(problems)} of {len(result.judgements)} limits: " if len(result.judgements) > 1 else ""
    raise ConversionError(f"{several}{'; '.join(problems)}")


CHECK = Command(
    name="check",
    summary="exit 1 unless a file, or each of a sweep, keeps its limits beside a base: accuracy, size, latency",
    arguments="FILE|SPEC --against BASE [--labelled DATA] --max_drop 0.5 [flags]",
    examples=(
        "tfmpq check new.tflite --against=released.tflite --labelled=test.npz --max_drop=0.5 --max_bytes=1.0x",
        "tfmpq check new.tflite --against=float.tflite --labelled=samples.npz --min_agreement=0.97 --max_kl=0.01",
        "tfmpq check new.tflite --against=stock.tflite --labelled=photos/ --preprocess=minus_one_one --max_drop=1 "
        "--max_latency_ratio=1.05 --junit=gate.xml --json=gate.json",
        "tfmpq check new.tflite --against=stock.tflite --labelled='labelled/*.tar' --max_drop=0.5",
        "tfmpq check fleet.toml --against=stock --max_drop=1 --max_bytes=0.7x --junit=fleet.xml",
    ),
    define_flags=_define_flags,
    required=("against",),
    execute=_execute,
    positional=1,
    begin=_clear,
)
