"""``tfmpq sweep``: models x variants x budgets from a spec, by many processes or machines, resumed at any time."""

from __future__ import annotations

import os
from typing import get_args

from absl import flags

from converters.errors import ConversionError
from converters.paths import is_special
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.text import plural


def _define_flags(values: flags.FlagValues) -> None:
    from tfmpq.sweep.run import Engine  # loads the file schema, which other commands do without

    flags.DEFINE_string(
        "output_dir",
        None,
        "Folder of the files and rows, made if need be, or its URL in a store (s3://bucket/fleet); what is there goes "
        "on where it stopped. Default: the spec's path without its ending.",
        values,
    )
    flags.DEFINE_integer(
        "processes",
        None,
        "Local engine: at most so many at a time; default: what processors and memory allow.",
        1,
        flag_values=values,
    )
    flags.DEFINE_integer("threads", 1, "CPU threads of each job.", 1, flag_values=values)
    flags.DEFINE_string(
        "cache",
        None,
        "Folder in which prepared networks are kept, or its URL in a store; default: tfmpq in $XDG_CACHE_HOME, or in "
        "~/.cache. off: none is kept longer than the sweep takes.",
        values,
    )
    flags.DEFINE_enum(
        "engine",
        "local",
        get_args(Engine),
        "local: processes of this machine. ray: a Ray cluster, whose machines share the paths of the spec, the output "
        "and the cache, or reach their URLs.",
        values,
    )
    flags.DEFINE_string(
        "address", None, "Ray: address of the cluster; default: $RAY_ADDRESS, or one started here.", values
    )
    flags.DEFINE_boolean("retry_failed", False, "Do rows again that failed before.", values)
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    from tfmpq.sweep.page import PAGE
    from tfmpq.sweep.run import run_sweep

    spec = arguments[0]
    if is_special(spec):
        raise UsageError(f"{spec}: paths in a spec are relative to it: give a file")
    if values.address is not None and values.engine != "ray":
        raise UsageError("--address is for --engine=ray")
    if values.engine == "ray" and values.processes is not None:
        raise UsageError("--processes is for --engine=local; Ray knows the processors of its machines")
    if values.output_dir is not None and os.path.exists(values.output_dir) and not os.path.isdir(values.output_dir):
        raise UsageError(f"--output_dir={values.output_dir} is no directory")
    check_outputs(values, ("json",), sources=[spec])
    result = run_sweep(
        spec,
        values.output_dir,
        processes=values.processes,
        threads=values.threads,
        cache=values.cache,
        engine=values.engine,
        address=values.address,
        retry_failed=values.retry_failed,
        progress=values.progress,
    )
    give_json(values, result.to_dict(), command="sweep", files={"spec": spec, "output_dir": str(result.folder)})
    say(values, f"{result}\n\ncharts and layers: {result.folder / PAGE}")
    if result.failed:
        raise ConversionError(
            f"{len(result.failed)} of {plural(result.asked, 'row')} failed: see '{result.folder}/summary.md'; "
            "--retry_failed does them again."
        )


SWEEP = Command(
    name="sweep",
    summary="convert and measure models x options x budgets, on all processors or a Ray cluster",
    arguments="SPEC [--output_dir DIR] [flags]",
    examples=(
        "tfmpq sweep fleet.toml",
        "tfmpq sweep fleet.toml --output_dir=results --processes=4 --retry_failed",
        "tfmpq sweep fleet.toml --engine=ray --address=auto --cache=/shared/tfmpq --output_dir=/shared/fleet",
        "tfmpq sweep fleet.toml --engine=ray --address=auto --cache=s3://bucket/tfmpq --output_dir=s3://bucket/fleet",
    ),
    define_flags=_define_flags,
    execute=_execute,
    positional=1,
)
