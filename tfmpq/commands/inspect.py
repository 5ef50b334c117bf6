"""``tfmpq inspect``: what a .tflite file holds."""

from __future__ import annotations

import json

from absl import flags

from converters.errors import FileFormatError
from converters.runtime.interpreter import read_content
from tfmpq.analysis.inspection import inspect
from tfmpq.commands.command import Command


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean("json", False, "Print JSON instead of a table.", flag_values=values)
    flags.DEFINE_boolean(
        "delegate",
        False,
        "Also say which operators XNNPACK leaves to slower kernels, why, and what to change; needs an interpreter.",
        flag_values=values,
    )


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    inspection = inspect(arguments[0])
    coverage = None
    if values.delegate:
        from tfmpq.analysis.coverage import explain  # loads the schema, which the rest does without

        content, label = read_content(arguments[0])
        try:
            coverage = explain(content)
        except FileFormatError as error:
            raise FileFormatError(f"{label}: {error}") from error
    if values.json:
        print(json.dumps(inspection.to_dict() | ({"delegate": coverage.to_dict()} if coverage else {}), indent=2))
        return
    print(inspection)
    if coverage:
        print(f"\n{coverage}")


INSPECT = Command(
    name="inspect",
    summary="list weights, bits, scales and sizes of a .tflite file, and how tfmpq made it",
    arguments="FILE [--json] [--delegate]",
    examples=(
        "tfmpq inspect model.tflite --delegate",
        "tfmpq inspect model.tflite --json > model.json",
    ),
    define_flags=_define_flags,
    execute=_execute,
    positional=1,
)
