"""``tfmpq diff``: where two files of one network differ, layer by layer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags

from tfmpq.commands.command import Command
from tfmpq.commands.image_flags import define_image_flags, read_preprocessing
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_html_flag, define_result_flags, give_json, made_with, say
from tfmpq.data.calibration_files import open_calibration
from tfmpq.data.file_inputs import spec_of
from tfmpq.data.named_files import files_of
from tfmpq.html.page import save_page

if TYPE_CHECKING:
    from tfmpq.analysis.diff import Samples
    from tfmpq.analysis.diff_result import Diff

_LIMIT = 100


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "data",
        None,
        "Samples, as `tfmpq convert` takes them: an .npz (one array for each input "
        "under its name; for a single input any one array), an .npy, a directory, a quoted glob, or a function.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "limit", _LIMIT, "Take no more samples than this, evenly spaced.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_string(
        "signature", None, "Which one to compare, of files with several; default: that of the main graph.", values
    )
    define_image_flags(values)
    define_html_flag(values)
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    from tfmpq.analysis.diff import diff, input_details  # loads the schema, which other commands do without

    preprocessing = read_preprocessing(values)
    check_outputs(values, ("json", "html"), sources=[*arguments, *map(str, files_of(values.data))])
    inputs = [spec_of(detail) for detail in input_details(arguments[0], values.signature)]
    samples = open_calibration(values.data, inputs, preprocessing=preprocessing, max_samples=values.limit)
    result = diff(arguments[0], arguments[1], samples, progress=values.progress, signature=values.signature)
    files = {"file": arguments[0], "file2": arguments[1], "data": values.data}
    give_json(values, result.to_dict(), command="diff", files=files)
    if values.html is not None:
        _write_page(values, result, samples, files)
    say(values, result)


def _write_page(values: flags.FlagValues, result: Diff, samples: Samples, files: Mapping[str, str]) -> None:
    from tfmpq.analysis.diff_page import diff_page
    from tfmpq.analysis.worst_samples import worst_samples

    paths = files["file"], files["file2"]
    worst = worst_samples(*paths, samples, signature=values.signature)
    names = [os.path.basename(path) for path in paths]
    first, second = paths if len(set(names)) == 1 else names
    about = made_with(values, command="diff", files=files)
    save_page(values.html, diff_page(result, worst, first=first, second=second, about=[about]))


DIFF = Command(
    name="diff",
    summary="compare two files of one network layer by layer, and say which recipe rules would help",
    arguments="FILE FILE2 --data DATA [flags]",
    examples=(
        "tfmpq diff float.tflite model.tflite --data=calibration.npz --html=page.html",
        "tfmpq diff int8.tflite model.tflite --data=photos/ --preprocess=minus_one_one --limit=50 --json=diff.json",
    ),
    define_flags=_define_flags,
    execute=_execute,
    required=("data",),
    positional=2,
)
