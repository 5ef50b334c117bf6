"""``tfmpq inspect``: what a .tflite file holds."""

from __future__ import annotations

import json

from absl import flags

from tfmpq.commands.command import Command
from tfmpq.inspection import inspect


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_boolean("json", False, "Print JSON instead of a table.", flag_values=values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    inspection = inspect(arguments[0])
    print(json.dumps(inspection.to_dict(), indent=2) if values.json else inspection)


INSPECT = Command(
    name="inspect",
    summary="list weights, bits, scales and sizes of a .tflite file, and how tfmpq made it",
    arguments="FILE [--json]",
    examples=("tfmpq inspect model.tflite", "tfmpq inspect model.tflite --json > model.json"),
    define_flags=_define_flags,
    execute=_execute,
    positional=1,
)
