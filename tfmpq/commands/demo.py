"""``tfmpq demo``: the bundled demonstration."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from pathlib import Path

from absl import flags

from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, says


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "output", "demo_output", "Directory for the files and the plot.", flag_values=values, short_name="o"
    )
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    check_outputs(values, ("json",), sources=())
    from tfmpq.demo.demo import PLOT, run_demo  # loads TensorFlow

    if values.json is not None and os.path.realpath(values.json) == os.path.realpath(Path(values.output, PLOT)):
        raise UsageError(f"--json={values.json} is where the plot goes; give another name")
    if os.path.exists(values.output) and not os.path.isdir(values.output):
        raise UsageError(f"--output={values.output} is no directory, which the demo needs for its files")
    silence = contextlib.nullcontext() if says(values) else contextlib.redirect_stdout(io.StringIO())
    with silence:
        rows = run_demo(values.output, progress=values.progress)
    content = {"files": [dataclasses.asdict(row) for row in rows]}
    give_json(values, content, command="demo", files={"output": values.output})


DEMO = Command(
    name="demo",
    summary="convert a small bundled classifier and compare the results (under a minute)",
    arguments="[-o DIRECTORY] [flags]",
    examples=("tfmpq demo",),
    define_flags=_define_flags,
    execute=_execute,
)
