"""``tfmpq evaluate``: accuracy of a .tflite file, or another metric, and agreement with a second one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from absl import flags

from converters.runtime.interpreter import Kernels
from tfmpq.analysis.evaluation import evaluate
from tfmpq.analysis.metrics import METRIC_NAMES, TOP1
from tfmpq.commands.budget_flags import define_classes_flag
from tfmpq.commands.command import Command
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.data.class_folders import read_class_names, read_labelled
from tfmpq.data.evaluation_set import Labelled, load_labelled
from tfmpq.data.file_inputs import inputs_and_classes


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
    define_image_flags(values)
    define_classes_flag(values)
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    sources = {"file": arguments[0], "data": values.data, "against": values.against, "classes": values.classes}
    check_outputs(values, ("json",), sources=[path for path in sources.values() if path])
    result = evaluate(
        arguments[0],
        _read_data(arguments[0], values),
        against=values.against,
        metric=values.metric,
        kernels=values.kernels,
        threads=values.threads,
        progress=values.progress,
        signature=values.signature,
    )
    give_json(values, result.to_dict(), command="evaluate", files=sources)
    say(values, result)


def _read_data(file: str, values: flags.FlagValues) -> Labelled:
    if not Path(values.data).is_dir():
        return load_labelled(values.data, class_labels=values.metric == TOP1)
    preprocessing = read_preprocessing(values)
    names = None if values.classes is None else read_class_names(values.classes)
    if values.signature is not None:
        from converters.frontend.entry_file import entry_first  # loads the schema, which the rest does without

        inputs, classes = inputs_and_classes(entry_first(file, values.signature))
    else:
        inputs, classes = inputs_and_classes(file)
    return read_labelled(values.data, inputs, preprocessing=preprocessing, names=names, classes=classes)


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
