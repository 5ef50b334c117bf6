"""``tfmpq collect``: the moments of a part of many samples, for ``tfmpq convert --statistics``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from converters.errors import CacheWarning, DataWarning, ModelError
from tfmpq.commands.command import Command
from tfmpq.commands.conversion_flags import check_views, define_conversion_flags, read_forms, read_recipe
from tfmpq.commands.image_flags import read_preprocessing
from tfmpq.commands.model_loading import load_source
from tfmpq.commands.option_flags import define_option_flags
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.part_flag import read_part
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.commands.warning_lines import warning_lines
from tfmpq.data.augmentation import views_of_samples
from tfmpq.data.calibration_files import open_calibration
from tfmpq.data.early_check import check_calibration
from tfmpq.data.named_files import files_of
from tfmpq.data.shards.parts import check_parts

# Flags that tfmpq.collect takes under the same name: what acts before a file is written.
OPTIONS = (
    "activations", "bits", "lowering", "optimize", "effort", "target", "algorithm", "max_points", "sensitivity",
    "equalize", "ranges", "io_dtype", "seed", "progress", "strict", "trust",
)  # fmt: skip
_SHARDS = (
    "A quoted glob of the files whose samples are summed: 'shards/*.tar' (.tfrecord, .parquet, .npz) or "
    "'photos/**/*.jpg'."
)


def _define_flags(values: flags.FlagValues) -> None:
    define_conversion_flags(values)
    flags.DEFINE_string("shards", None, _SHARDS, values)
    flags.DEFINE_string("part", "1/1", "K/N: every N-th of the files, from the K-th on.", values)
    flags.DEFINE_string("output", None, "The file of sums to write.", values, short_name="o")
    define_option_flags(values, (*OPTIONS, "cache"))
    define_result_flags(values, progress=False)  # an option says it


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    part, preprocessing, recipe = read_part(values.part), read_preprocessing(values), read_recipe(values.recipe)
    check_views(values)
    files = {name: getattr(values, name) for name in ("model", "data", "shards", "recipe", "output")}
    read = [path for path in (values.model, values.recipe) if path]
    sources = [*read, *map(str, (*files_of(values.data), *files_of(values.shards)))]
    check_outputs(values, ("output", "json"), sources=sources)
    if not Path(values.model).exists():
        raise ModelError(f"'{values.model}' does not exist (working directory: {Path.cwd()}). Check the path.")
    check_calibration(values.data, preprocessing=preprocessing, max_samples=values.max_samples)
    check_parts(values.shards, part)
    check_calibration(values.shards, preprocessing=preprocessing, max_samples=1)

    import tfmpq

    batch_size = None if values.open_batch else 1
    open_data = partial(open_calibration, values.data, preprocessing=preprocessing, max_samples=values.max_samples)
    source = load_source(values, open_data, batch_size)
    model: Any = source.model
    how = {name: getattr(values, name) for name in ("crop", "flip", "seed")}
    options = {name: getattr(values, name) for name in OPTIONS}
    with warning_lines("collect", DataWarning), warning_lines("collect", CacheWarning):
        header = tfmpq.collect(
            source,
            views_of_samples(open_data(model.inputs), model.inputs, values.views, **how),
            values.shards,
            values.output,
            part=part,
            preprocessing=preprocessing,
            recipe=recipe,
            batch_size=batch_size,
            outputs=read_forms(values.outputs),
            **options,
        )
    size = Path(values.output).stat().st_size
    content = {"part": header.part, "parts": header.parts, "samples": header.samples, "layers": len(header.layers)}
    give_json(values, {**content, "bytes": size}, command="collect", files=files)
    say(
        values,
        f"wrote {values.output}: part {header.part}/{header.parts}, sums of {len(header.layers)} layers over "
        f"{header.samples} samples, {size:,} bytes",
    )


COLLECT = Command(
    name="collect",
    summary="sum what layers read over a part of many samples, for convert --statistics",
    arguments="MODEL --data DATA --shards GLOB [--part K/N] -o FILE [flags]",
    examples=(
        "tfmpq collect net.keras --data=calibration.npz --shards='shards/*.tar' --part=3/16 -o part-03.npz",
        "tfmpq convert net.keras --data=calibration.npz --statistics='part-*.npz' -o net.tflite",
    ),
    define_flags=_define_flags,
    required=("model", "data", "shards", "output"),
    stands_for=("model",),
    execute=_execute,
)
