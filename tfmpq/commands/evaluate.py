"""``tfmpq evaluate``: accuracy of a .tflite file, and agreement with a second one."""

from __future__ import annotations

import json
from typing import get_args

from absl import flags

from converters.runtime.interpreter import Kernels
from tfmpq.analysis.evaluation import evaluate
from tfmpq.commands.command import Command
from tfmpq.data.evaluation_set import load_labelled


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "data",
        None,
        "An .npz with samples x (for several inputs: one array under each input's name) and class numbers y; y may be "
        "left out with --against.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "against", None, "A second .tflite file to compare with, the float model say.", flag_values=values
    )
    flags.DEFINE_enum(
        "kernels", "xnnpack", list(get_args(Kernels)), "Kernels of the interpreter to run with.", flag_values=values
    )
    flags.DEFINE_integer("threads", 1, "CPU threads.", lower_bound=1, flag_values=values)
    flags.DEFINE_boolean("json", False, "Print JSON instead of text.", flag_values=values)
    flags.DEFINE_boolean("progress", True, "Show a progress bar on stderr.", flag_values=values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    result = evaluate(
        arguments[0],
        load_labelled(values.data),
        against=values.against,
        kernels=values.kernels,
        threads=values.threads,
        progress=values.progress,
    )
    print(json.dumps(result.to_dict(), indent=2) if values.json else result)


EVALUATE = Command(
    name="evaluate",
    summary="top-1 and top-5 of a .tflite file on labelled data, and how close it is to a second file",
    arguments="FILE --data LABELLED.npz [--against FILE2]",
    examples=(
        "tfmpq evaluate model.tflite --data=test.npz",
        "tfmpq evaluate model.tflite --data=test.npz --against=float.tflite --json",
    ),
    define_flags=_define_flags,
    required=("data",),
    execute=_execute,
    positional=1,
)
