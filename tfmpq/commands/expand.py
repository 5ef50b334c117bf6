"""``tfmpq expand``: a compact file becomes the int8 file that runs as fast as stock."""

from __future__ import annotations

import time

from absl import flags

from converters.errors import FileFormatError
from converters.runtime.content import read_content
from tfmpq.commands.command import Command
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.files import write_atomic


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("model", None, "A .tflite file that tfmpq wrote, best a compact one.", flag_values=values)
    flags.DEFINE_string("output", None, "Where the expanded file goes.", flag_values=values, short_name="o")
    define_result_flags(values, progress=False)


def _execute(values: flags.FlagValues, _: list[str]) -> None:
    from converters.lowering.expand import expand  # loads the schema, which other commands do without

    check_outputs(values, ("output", "json"), sources=[])  # a file may be expanded in place
    check_outputs(values, ("json",), sources=[values.model])
    content, label = read_content(values.model)
    start = time.perf_counter()
    try:
        expanded = expand(content)
    except FileFormatError as error:
        raise FileFormatError(f"{label}: {error}") from error
    milliseconds = 1000 * (time.perf_counter() - start)
    write_atomic(values.output, expanded)
    if expanded == content:
        say(values, f"{len(content):,} bytes: there is nothing to expand in this file, it was copied as it is")
    else:
        say(values, f"{len(content):,} bytes -> {len(expanded):,} bytes in {milliseconds:.1f} ms")
    result = {"bytes_before": len(content), "bytes": len(expanded), "milliseconds": milliseconds}
    give_json(values, result, command="expand", files={"model": values.model, "output": values.output})


EXPAND = Command(
    name="expand",
    summary="turn a compact file (convert --lowering=compact) into the int8 file that runs as fast as stock",
    arguments="FILE -o FILE [flags]",
    examples=("tfmpq expand compact.tflite -o fast.tflite",),
    define_flags=_define_flags,
    required=("model", "output"),
    stands_for=("model",),
    execute=_execute,
)
