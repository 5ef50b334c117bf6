"""``tfmpq demo``: the bundled demonstration."""

from __future__ import annotations

from absl import flags

from tfmpq.commands.command import Command


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", "demo_output", "Directory for the files and the plot.", flag_values=values)
    flags.DEFINE_boolean("progress", True, "Say on stderr what is being done.", flag_values=values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    from tfmpq.demo.demo import run_demo  # loads TensorFlow

    run_demo(values.output, progress=values.progress)


DEMO = Command(
    name="demo",
    summary="convert a small bundled classifier and compare the results (under a minute)",
    arguments="[--output DIRECTORY]",
    examples=("tfmpq demo",),
    define_flags=_define_flags,
    execute=_execute,
)
