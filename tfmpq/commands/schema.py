"""``tfmpq schema``: what the JSON of the commands looks like."""

from __future__ import annotations

from absl import flags

from tfmpq.commands.command import Command
from tfmpq.schemas import schema_id, schema_names, schema_text


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("name", None, "A command, or one with a version, as evaluate/1; default: list all.", values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    if values.name is None:
        print("\n".join(map(schema_id, schema_names())))
    else:
        print(schema_text(values.name), end="")


SCHEMA = Command(
    name="schema",
    summary="print the JSON Schema of what a command writes with --json",
    arguments="[NAME]",
    examples=("tfmpq schema", "tfmpq schema evaluate > evaluate.schema.json"),
    define_flags=_define_flags,
    stands_for=("name",),
    execute=_execute,
)
