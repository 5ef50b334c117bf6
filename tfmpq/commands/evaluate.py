"""``tfmpq evaluate``: accuracy of a .tflite file, or another metric, and agreement with a second one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from absl import flags

from converters.errors import DataError
from converters.runtime.interpreter import Kernels, runtime_name
from tfmpq.analysis.evaluation import evaluate
from tfmpq.analysis.evaluation_result import Evaluation
from tfmpq.analysis.metrics import METRIC_NAMES, TOP1
from tfmpq.analysis.shard_evaluation import Counted, count, digest_of_run, merge_counted, write_counted
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.evaluation_data import define_data_flags, open_stream, read_evaluation
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.part_flag import read_part
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.data.labelled_files import LABELLED
from tfmpq.data.named_files import files_of
from tfmpq.data.shards.formats import matching
from tfmpq.data.shards.labelled import Chunk
from tfmpq.data.shards.parts import files_digest


def _define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "data",
        None,
        f"Labelled samples: {LABELLED}. Labels are what --metric takes; with --against they may be left out.",
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
    flags.DEFINE_string("part", "1/1", "Shards: K/N, every N-th of the files from the K-th on.", values)
    flags.DEFINE_string("write_counts", None, "Shards: write what this part has counted to this file.", values)
    flags.DEFINE_string(
        "counts", None, "In place of --data: a quoted glob of what --write_counts wrote of all parts.", values
    )
    define_data_flags(values)
    define_result_flags(values)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    file, part = arguments[0], read_part(values.part)
    sources = {"file": file, "data": values.data, "against": values.against, "classes": values.classes}
    read = [path for name, path in sources.items() if path and name != "data"]
    data: str = values.data or ""
    if bool(data) == (values.counts is not None):
        raise UsageError("give either --data or --counts")
    read += map(str, files_of(data)) if data else ()
    check_outputs(values, ("json", "write_counts"), sources=read)
    result = _counted(values, file, part)
    if result is None:
        result = evaluate(
            file,
            read_evaluation(values, file, data),
            against=values.against,
            metric=values.metric,
            kernels=values.kernels,
            threads=values.threads,
            progress=values.progress,
            signature=values.signature,
        )
    give_json(values, result.to_dict(), command="evaluate", files={**sources, "counts": values.counts})
    say(values, result)


def _counted(values: flags.FlagValues, file: str, part: tuple[int, int]) -> Evaluation | None:
    """What counts say of data in shards; None: they are not."""
    if values.counts is not None:
        found = merge_counted(matching(values.counts, "parts by tfmpq evaluate"), _run(values, file))
        assert found.sums is not None  # of all parts together there are some
        return found.sums.evaluation(runtime=found.runtime, kernels=found.kernels)
    in_parts = part != (1, 1) or values.write_counts is not None
    if in_parts and values.metric != TOP1:
        raise UsageError(f"--metric={values.metric} has no counts: leave --part and --write_counts out, or take top1")
    chunks = None if values.metric != TOP1 else open_stream(values, file, values.data, part)
    if chunks is None:
        if in_parts:
            raise UsageError("--part and --write_counts are for shards: --data='shards/*.tar'")
        return None
    options = {name: getattr(values, name) for name in ("against", "kernels", "threads", "signature")}
    sums = count(file, _with_progress(chunks, values.progress), **options)
    if values.write_counts is not None:
        of = f"{_run(values, file)} {files_digest(files_of(values.data))}"
        write_counted(values.write_counts, Counted(of, runtime_name(), values.kernels, *part, sums))
    if sums is None:
        raise DataError(f"'{values.data}' holds no samples in part {values.part}.")
    return sums.evaluation(runtime=runtime_name(), kernels=values.kernels)


def _run(values: flags.FlagValues, file: str) -> str:
    return digest_of_run([file, values.against], values.kernels, values.signature)


def _with_progress(chunks: Iterator[Chunk], progress: bool) -> Iterator[Chunk]:
    if not progress:
        yield from chunks
        return
    from tqdm import tqdm  # not needed to evaluate

    with tqdm(desc="evaluate", unit="sample") as bar:
        for chunk in chunks:
            yield chunk
            bar.update(chunk.data.count)


EVALUATE = Command(
    name="evaluate",
    summary="top-1 of a .tflite file on labelled data, or another metric, and how close it is to a second file",
    arguments="FILE --data LABELLED [--against FILE2] [flags]",
    examples=(
        "tfmpq evaluate model.tflite --data=test.npz",
        "tfmpq evaluate model.tflite --data=test.npz --against=float.tflite --json=result.json",
        "tfmpq evaluate encoder.tflite --data=sentences.npz --against=float.tflite --metric=cosine",
        "tfmpq evaluate model.tflite --data='shards/*.tar' --part=3/16 --write_counts=part-03.json",
        "tfmpq evaluate model.tflite --counts='part-*.json'",
        "tfmpq evaluate model.tflite --data=photos/ --preprocess=minus_one_one --classes=labels.txt",
    ),
    define_flags=_define_flags,
    execute=_execute,
    positional=1,
)
