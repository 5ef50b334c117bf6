"""``tfmpq inspect``: what a .tflite file holds."""

from __future__ import annotations

from absl import flags

from converters.errors import FileFormatError
from converters.runtime.content import read_content
from tfmpq.analysis.inspection import inspect
from tfmpq.commands.command import Command
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.names_file import with_found_names


def _define_flags(values: flags.FlagValues) -> None:
    define_result_flags(values, progress=False)
    flags.DEFINE_boolean(
        "delegate",
        False,
        "Also say which operators XNNPACK leaves to slower kernels, why, and what to change; needs an interpreter.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "signature", None, "List only what this one runs, of files with several; default: all graphs.", values
    )


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    check_outputs(values, ("json",), sources=arguments)
    inspection = inspect(arguments[0], signature=values.signature)
    coverage = None
    if values.delegate:
        from tfmpq.analysis.coverage import explain  # loads the schema, which the rest does without

        content, label = read_content(arguments[0])
        try:
            content, _ = with_found_names(arguments[0], content)
            if values.signature is not None:
                from converters.frontend.entry_file import entry_first

                content = entry_first(content, values.signature, label=label)
            coverage = explain(content)
        except FileFormatError as error:
            raise FileFormatError(f"{label}: {error}") from error
    content = inspection.to_dict() | ({"delegate": coverage.to_dict()} if coverage else {})
    give_json(values, content, command="inspect", files={"file": arguments[0]})
    say(values, f"{inspection}\n\n{coverage}" if coverage else inspection)


INSPECT = Command(
    name="inspect",
    summary="list weights, bits, scales and sizes of a .tflite file, and how tfmpq made it",
    arguments="FILE [--delegate] [flags]",
    examples=(
        "tfmpq inspect model.tflite --delegate",
        "tfmpq inspect language_model.tflite --signature=decode",
        "tfmpq inspect model.tflite --json=model.json --quiet",
    ),
    define_flags=_define_flags,
    execute=_execute,
    positional=1,
)
