"""``tfmpq target``: the cost table of a target, measured on this machine."""

from __future__ import annotations

import json
from pathlib import Path

from absl import flags

from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.files import write_atomic

KERNELS = ("xnnpack", "builtin")


def _define_flags(values: flags.FlagValues) -> None:
    kernels = "Kernels to measure: XNNPACK's, or the built-in ones without a delegate."
    flags.DEFINE_enum("target", None, KERNELS, kernels, flag_values=values)
    flags.DEFINE_string(
        "output", None, "Table to write, *.json; its name is the target's.", flag_values=values, short_name="o"
    )
    flags.DEFINE_integer("passes", 3, "How often everything is timed.", lower_bound=1, flag_values=values)
    define_result_flags(values)


def _execute(values: flags.FlagValues, _: list[str]) -> None:
    output = Path(values.output)
    if output.suffix != ".json" or not output.stem:
        raise UsageError(f"--output={values.output}: a table is a .json file, or --target=FILE would not know it")
    check_outputs(values, ("output", "json"), sources=())
    from converters.targets import to_json  # loads the schema, which other commands do without
    from tfmpq.target.measure import describe, measure_target

    target = measure_target(output.stem, values.target, passes=values.passes, progress=values.progress)
    text = to_json(target)
    write_atomic(output, text)
    give_json(values, {"table": json.loads(text)}, command="target", files={"output": values.output})
    say(values, f"{describe(target)}\nwritten: {output}")


TARGET = Command(
    name="target",
    summary="measure this machine's table of operator costs, for convert --target=TABLE.json",
    arguments="--target NAME -o TABLE.json [flags]",
    examples=(
        "tfmpq target --target=xnnpack -o my.json",
        "tfmpq convert model.keras --target=my.json --data=photos.npz -o model.tflite",
    ),
    define_flags=_define_flags,
    execute=_execute,
    required=("target", "output"),
)
