"""``tfmpq evaluate``: accuracy of a .tflite file, or another metric, and agreement with a second one."""

from __future__ import annotations

from typing import get_args

from absl import flags

from converters.runtime.interpreter import Kernels
from tfmpq.analysis.evaluation import evaluate
from tfmpq.analysis.metrics import METRIC_NAMES, TOP1
from tfmpq.commands.command import Command
from tfmpq.commands.evaluation_data import define_data_flags, read_evaluation
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "data",
        None,
        "An .npz with samples x (for several inputs: one array under each input's name) and class numbers y, or what "
        "--metric takes; y may be left out with --against. Or a directory with a folder of images for each class "
        "(--preprocess).",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "metric",
        TOP1,
        list(METRIC_NAMES),
        "What the samples are judged by. cosine: of the outputs and those of --against, or y if there is none; "
        "perplexity: y are the next tokens, one for each row of the logits or probabilities, negative ones left out.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "against", None, "A second .tflite file to compare with, the float model say.", flag_values=values
    )
    flags.DEFINE_enum(
        "kernels", "xnnpack", list(get_args(Kernels)), "Kernels of the interpreter to run with.", flag_values=values
    )
    flags.DEFINE_string(
        "signature", None, "Which one to run, of files with several; default: that of the main graph.", values
    )
    flags.DEFINE_integer("threads", 1, "CPU threads.", lower_bound=1, flag_values=values)
    define_data_flags(values)
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    sources = {"file": arguments[0], "data": values.data, "against": values.against, "classes": values.classes}
    check_outputs(values, ("json",), sources=[path for path in sources.values() if path])
    result = evaluate(
        arguments[0],
        read_evaluation(values, arguments[0], values.data),
        against=values.against,
        metric=values.metric,
        kernels=values.kernels,
        threads=values.threads,
        progress=values.progress,
        signature=values.signature,
    )
    give_json(values, result.to_dict(), command="evaluate", files=sources)
    say(values, result)


EVALUATE = Command(
    name="evaluate",
    summary="top-1 of a .tflite file on labelled data, or another metric, and how close it is to a second file",
    arguments="FILE --data LABELLED [--against FILE2] [flags]",
    examples=(
        "tfmpq evaluate model.tflite --data=test.npz",
        "tfmpq evaluate model.tflite --data=test.npz --against=float.tflite --json=result.json",
        "tfmpq evaluate encoder.tflite --data=sentences.npz --against=float.tflite --metric=cosine",
        "tfmpq evaluate model.tflite --data=photos/ --preprocess=minus_one_one --classes=labels.txt",
    ),
    define_flags=_define_flags,
    required=("data",),
    execute=_execute,
    positional=1,
)
