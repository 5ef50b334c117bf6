"""One job of a sweep, start to end: convert, evaluate, keep the rows. Runs in a process of its own."""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import tfmpq
from tfmpq.data.augmentation import image_views
from tfmpq.recipe.budget_text import parse_budget
from tools.research.frontier.files import Files
from tools.research.frontier.metrics import References, measure
from tools.research.frontier.peers import convert_peers
from tools.research.frontier.rows import (
    EXPAND,
    FLOAT,
    FLOAT_FILE,
    LITERT,
    STOCK,
    STOCK_FILE,
    STOCK_INT8,
    TFMPQ,
    Job,
    Row,
    Settings,
)
from tools.research.frontier.subjects import (
    Data,
    Subject,
    cache_data,
    calibration_samples,
    open_data,
    open_model,
    read_data,
)
from tools.research.measuring import predict

Report = Callable[[Settings, str, "Row | None"], None]  # settings of a row that is done, and it, or why it failed


@dataclass(frozen=True)
class Made:
    """A file, or why there is none.

    Attributes:
        settings: what was asked for.
        content: the file at rest.
        runnable: what is run instead of it, None: the file itself.
        seconds: from the model to the file.
        failure: message.
    """

    settings: Settings
    content: bytes = b""
    runnable: bytes | None = None
    seconds: float | None = None
    failure: str = ""


def execute(job: Job, keys: Mapping[Settings, str], files: Files, report: Report) -> None:
    """Makes the job's rows. A row that fails is reported with its message and the others go on.

    Args:
        job: a base job, or one whose base is done.
        keys: the rows that are missing, with their keys.
        files: where they are kept.
        report: told of every row.
    """
    open_rows = dict.fromkeys(s for s in job.settings if s in keys)

    def done(settings: Settings, failure: str, row: Row | None) -> None:
        del open_rows[settings]
        report(settings, failure, row)

    try:
        if job.is_base:
            _make_base(job.subject, files, keys, done)
        else:
            _make_others(job, files, keys, done)
    except Exception as error:
        for settings in list(open_rows):
            done(settings, describe(error), None)


def _make_others(job: Job, files: Files, keys: Mapping[Settings, str], report: Report) -> None:
    wanted = [s for s in job.settings if s in keys]
    data = open_data(job.subject, files.base(job.subject))
    references = References(files.outputs(job.subject, FLOAT_FILE), files.outputs(job.subject, STOCK_FILE), data)
    make = _peer_files if all(s.tool == LITERT for s in wanted) else _tfmpq_files
    for made in make(job.subject, wanted, data, files):
        if made.failure:
            report(made.settings, made.failure, None)
            continue
        try:
            outputs = predict(made.runnable or made.content, data.evaluation)
            row = _row(job.subject, made, data, measure(outputs, references))
            files.put(keys[made.settings], made.content, made.runnable)
        except Exception as error:
            report(made.settings, describe(error), None)
        else:
            report(made.settings, "", row)


def describe(error: BaseException) -> str:
    """An error on one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, tfmpq.ConversionError) and text else f"{type(error).__name__}: {text}"


def _make_base(subject: Subject, files: Files, keys: Mapping[Settings, str], report: Report) -> None:
    from converters.frontend.load import load_model
    from converters.frontend.tf_converter import int8_twin
    from tfmpq.data.representative import check_samples

    folder = files.base(subject)
    folder.mkdir(parents=True, exist_ok=True)
    cache_data(read_data(subject), folder)
    data = open_data(subject, folder)
    model = open_model(subject)
    start = time.perf_counter()
    float_model = load_model(model)
    float_seconds = time.perf_counter() - start
    chosen = calibration_samples(data, subject.calibration, 0)
    samples = check_samples(_views(chosen, STOCK_INT8), float_model.inputs)
    stock = int8_twin(float_model, samples)
    stock_seconds = time.perf_counter() - start
    (folder / "float.tflite").write_bytes(float_model.flatbuffer)
    outputs = {}
    for name, content in ((FLOAT_FILE, float_model.flatbuffer), (STOCK_FILE, stock)):
        outputs[name] = predict(content, data.evaluation)
        files.put_outputs(subject, name, outputs[name])
    references = References(outputs[FLOAT_FILE], outputs[STOCK_FILE], data)
    for made in (
        Made(FLOAT, float_model.flatbuffer, seconds=float_seconds),
        Made(STOCK_INT8, stock, seconds=stock_seconds),
    ):
        measured = measure(outputs[made.settings.configuration], references)
        key = keys.get(made.settings)
        if key is not None:
            files.put(key, made.content)
            report(made.settings, "", _row(subject, made, data, measured))


def _tfmpq_files(subject: Subject, wanted: list[Settings], data: Data, files: Files) -> Iterator[Made]:
    """All files of one calibration: :func:`tfmpq.prepare` once, then a file a budget."""
    first = next((s for s in wanted if s.tool == TFMPQ), None)
    samples = calibration_samples(data, subject.calibration, wanted[0].seed)
    start = time.perf_counter()
    if first is None:  # only the stock file is missing
        yield _stock_with_views(subject, wanted[0], samples)
        return
    prepared = tfmpq.prepare(
        open_model(subject),
        _views(samples, first),
        bits=first.bits or 8,
        lowering="compact" if first.lowering == EXPAND else first.lowering,
        seed=first.seed,
        progress=False,
    )
    prepare_seconds = time.perf_counter() - start
    for settings in wanted:
        if settings.tool == STOCK:
            seconds = ("float conversion", "data check", "stock conversion")
            stock = prepared.network.stock.content
            yield Made(settings, stock, seconds=sum(prepared.seconds[name] for name in seconds))
            continue
        start = time.perf_counter()
        try:
            compact = settings.lowering == EXPAND
            result = prepared.finish(budget=parse_budget(settings.budget))
            seconds = prepare_seconds + time.perf_counter() - start
            runnable = tfmpq.expand(result.tflite_model) if compact else None
            yield Made(settings, result.tflite_model, runnable, seconds)
        except Exception as error:
            yield Made(settings, failure=describe(error))


def _stock_with_views(subject: Subject, settings: Settings, samples: dict[str, np.ndarray]) -> Made:
    from converters.frontend.load import load_model
    from converters.frontend.tf_converter import int8_twin
    from tfmpq.data.representative import check_samples

    start = time.perf_counter()
    float_model = load_model(open_model(subject))
    stock = int8_twin(float_model, check_samples(_views(samples, settings), float_model.inputs))
    return Made(settings, stock, seconds=time.perf_counter() - start)


def _views(samples: dict[str, np.ndarray], settings: Settings) -> Any:
    if len(samples) == 1:
        images = next(iter(samples.values()))
        return images if settings.views == 1 else image_views(images, settings.views, seed=settings.seed)
    if settings.views > 1:
        raise tfmpq.ConversionError("views are taken of one image input; this model has several inputs: use --views 1")
    return samples


def _peer_files(subject: Subject, wanted: list[Settings], data: Data, files: Files) -> Iterator[Made]:
    float_file = (files.base(subject) / "float.tflite").read_bytes()
    samples = calibration_samples(data, subject.calibration, 0)
    by_name = {s.configuration: s for s in wanted}
    for peer in convert_peers(float_file, samples, list(by_name)):
        failure = "" if peer.failure is None else describe(peer.failure)
        yield Made(by_name[peer.name], peer.content, seconds=peer.seconds, failure=failure)


def _row(subject: Subject, made: Made, data: Data, measured: Mapping[str, Any]) -> Row:
    settings = made.settings
    available = len(next(iter(data.calibration.values())))
    return Row(
        model=subject.name,
        **dataclasses.asdict(settings),
        calibration=min(subject.calibration, available) if settings.bits != FLOAT.bits else None,
        samples=len(next(iter(data.evaluation.values()))),
        bytes=len(made.content),
        deflated=len(zlib.compress(made.content, 9)),
        seconds=made.seconds,
        **measured,
    )
