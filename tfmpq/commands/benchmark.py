"""``tfmpq benchmark``: latency, memory and delegate coverage of .tflite files side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from converters.errors import ConversionError
from tfmpq.analysis.timing_page import benchmark_page
from tfmpq.benchmark.result import BenchmarkResult, Run
from tfmpq.benchmark.run import BenchmarkInterrupted, benchmark
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import STDOUT, define_html_flag, define_result_flags, give_json, made_with, say
from tfmpq.files import write_atomic
from tfmpq.html.page import save_page
from tfmpq.names_file import with_found_names
from tfmpq.text import to_csv, to_markdown

if TYPE_CHECKING:
    from tfmpq.analysis.coverage import CoverageReport
    from tfmpq.analysis.op_times import PerOp

_WRITERS: dict[str, Callable[[BenchmarkResult], str]] = {
    "csv": lambda result: to_csv(result.table()),
    "markdown": lambda result: to_markdown(result.blocks()),
}
# Flags that tfmpq.benchmark.run.benchmark takes under the same name and as they are.
OPTIONS = ("warmup", "min_runs", "min_seconds", "rounds", "inputs", "signature", "seed", "timeout", "progress")


def _define_flags(values: flags.FlagValues) -> None:
    def listed(name: str, default: str, help_text: str) -> None:
        flags.DEFINE_list(name, default, help_text, flag_values=values)

    def number(name: str, default: int, help_text: str) -> None:
        flags.DEFINE_integer(name, default, help_text, flag_values=values)

    def seconds(name: str, default: float, help_text: str) -> None:
        flags.DEFINE_float(name, default, help_text, flag_values=values)

    def path(name: str, help_text: str) -> None:
        flags.DEFINE_string(name, None, help_text, flag_values=values)

    def boolean(name: str, default: bool, help_text: str) -> None:
        flags.DEFINE_boolean(name, default, help_text, flag_values=values)

    listed("threads", "1", "Numbers of CPU threads, separated by commas; each is measured.")
    listed("delegates", "xnnpack", "xnnpack, builtin (the kernels without a delegate) or both; each is measured.")
    number("warmup", 5, "Inferences of a process before its first round.")
    number("min_runs", 50, "Fewest timed inferences of a process.")
    seconds("min_seconds", 1.5, "Fewest seconds of timed inferences of a process.")
    number("rounds", 25, "Rounds in which the processes take turns; confidence intervals need six.")
    path(
        "inputs",
        "An .npz with one array, batch dimension included, under each input's name; for models with one input any one "
        "array. Real values are quantized as the model asks. Default: random values.",
    )
    path("signature", "Which one to run, of files with several; default: that of the main graph.")
    number("seed", 0, "Seed of the random inputs and of the order within rounds.")
    seconds("timeout", 120.0, "Seconds to wait for a process to get ready or to do a round before it is given up.")
    path("csv", "Write the runs to this file as CSV.")
    path("markdown", "Write the tables to this file as Markdown.")
    define_html_flag(values)
    boolean("per_op", False, "Also time every operator by itself, with the first threads and delegate.")
    boolean("coverage", True, "Say why XNNPACK left operators to the built-in kernels, if it did.")
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    try:
        threads = [int(text) for text in values.threads]
    except ValueError as error:
        raise UsageError(f"--threads takes whole numbers, separated by commas: {error}") from error
    sources = [*arguments, *([values.inputs] if values.inputs else [])]
    check_outputs(values, (*_WRITERS, "json", "html"), sources=sources)
    options = {name: getattr(values, name) for name in OPTIONS}
    try:
        result = benchmark(arguments, threads=threads, delegates=values.delegates, **options)
    except BenchmarkInterrupted as interruption:
        _report(interruption.result, values)
        _give_json(interruption.result.to_dict(), arguments, values)
        _give_page(interruption.result, {}, {}, arguments, values)
        raise
    _report(result, values)
    problems = result.failures()
    good = [run for run in result.runs if run.error is None]
    content = result.to_dict()
    if values.json != STDOUT:
        _give_json(content, arguments, values)  # what follows takes a while, and may be interrupted
    times: dict[str, PerOp] = {}
    left: dict[str, CoverageReport] = {}
    if values.per_op:
        times, wrong = _per_op(_first_of_each(good), values)
        content["per_op"] = {path: table.to_dict() for path, table in times.items()}
        problems += wrong
    _give_json(content, arguments, values)
    if values.coverage:
        left, wrong = _explain_coverage(good, values)
        problems += wrong
    _give_page(result, times, left, arguments, values)
    if problems:
        several = result.failed and len(result.runs) > 1
        count = f"{len(result.failed)} of {len(result.runs)} runs failed: " if several else ""
        raise ConversionError(f"{count}{'; '.join(problems)}")


def _report(result: BenchmarkResult, values: flags.FlagValues) -> None:
    """Prints the tables, if there is anything in them, and writes the files."""
    if len(result.failed) < len(result.runs):
        say(values, result)
    for flag, write in _WRITERS.items():
        path = getattr(values, flag)
        if path is not None:
            write_atomic(path, write(result).encode())


def _give_json(content: dict[str, Any], files: Sequence[str], values: flags.FlagValues) -> None:
    give_json(values, content, command="benchmark", files=_files(files, values))


def _files(files: Sequence[str], values: flags.FlagValues) -> dict[str, object]:
    return {"files": list(files), "inputs": values.inputs}


def _give_page(
    result: BenchmarkResult,
    times: Mapping[str, PerOp],
    left: Mapping[str, CoverageReport],
    files: Sequence[str],
    values: flags.FlagValues,
) -> None:
    if values.html is not None:
        about = made_with(values, command="benchmark", files=_files(files, values))
        save_page(values.html, benchmark_page(result, per_op=times, coverage=left, about=[about]))


def _first_of_each(runs: Sequence[Run]) -> list[Run]:
    """The first run of every file."""
    return list({run.path: run for run in reversed(runs)}.values())[::-1]


def _content(path: str, values: flags.FlagValues) -> bytes:
    """The file as it was timed, with the names of its tensors if they lie beside it."""
    from converters.frontend.entry_file import entry_first  # loads the schema, which the rest does without

    content, note = with_found_names(path, Path(path).read_bytes())
    if note:
        say(values, f"file '{path}': {note}")
    return content if values.signature is None else entry_first(content, values.signature, label=f"file '{path}'")


def _per_op(runs: Sequence[Run], values: flags.FlagValues) -> tuple[dict[str, PerOp], list[str]]:
    """Prints the operators of the files, and returns them by file, and what went wrong."""
    from tfmpq.analysis.per_op import per_op  # loads the schema, which the rest does without

    tables, problems = {}, []
    for run in runs:
        content = _content(run.path, values)
        try:
            table = per_op(
                content, threads=run.threads, delegate=run.delegate, seed=values.seed, progress=values.progress
            )
        except ConversionError as error:
            problems.append(f"file '{run.path}', operator by operator: {error}")
            continue
        say(values, f"\n{run.path} ({run.configuration}), operator by operator\n{table}")
        tables[run.path] = table
    return tables, problems


def _explain_coverage(runs: Sequence[Run], values: flags.FlagValues) -> tuple[dict[str, CoverageReport], list[str]]:
    """Prints why operators of the files were left to the built-in kernels, and returns it and what went wrong."""
    fallen_back = [run for run in runs if run.delegate == "xnnpack" and run.delegated_ops != run.ops]
    if not fallen_back:
        return {}, []
    from tfmpq.analysis.coverage import explain  # loads the schema, which the rest does without

    found, problems = {}, []
    for run in _first_of_each(fallen_back):
        try:
            found[run.path] = explain(_content(run.path, values))
        except ConversionError as error:
            problems.append(f"file '{run.path}', delegate coverage: {error}")
            continue
        say(values, f"\n{run.path}: what XNNPACK left to the built-in kernels\n{found[run.path]}")
    return found, problems


BENCHMARK = Command(
    name="benchmark",
    summary="time .tflite files side by side: latency, start-up, memory, delegate coverage",
    arguments="FILE [FILE ...] [flags]",
    examples=(
        "tfmpq benchmark stock.tflite tfmpq.tflite",
        "tfmpq benchmark float.tflite int8.tflite --threads=1,2,4 --delegates=xnnpack,builtin --json=result.json",
        "tfmpq benchmark model.tflite --inputs=sample.npz --per_op --html=page.html",
    ),
    define_flags=_define_flags,
    execute=_execute,
    positional=1,
    more=True,
)
