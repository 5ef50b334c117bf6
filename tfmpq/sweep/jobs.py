"""A job of a sweep: a pure function of plain data, so that anything that can call functions can run a sweep.

There are three kinds. ``collect`` sums over a part of many samples, where a model has some. ``prepare`` fills the cache
for a model and its options. ``row`` makes one file from what is in the cache, measures it and writes it. A job that
fails returns its error; it never raises.
"""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.errors import CacheWarning, ConversionError, DataError, DataWarning, MissingDependencyError, OptionError
from tfmpq.data.named_files import files_of
from tfmpq.storage import place, placed
from tfmpq.sweep.bases import BASES, FLOAT
from tfmpq.sweep.collection import COLLECT, is_collected, statistics_of
from tfmpq.sweep.identity import bytes_digest
from tfmpq.sweep.inputs import here
from tfmpq.sweep.lock import LOCK
from tfmpq.text import to_plain

if TYPE_CHECKING:
    from tfmpq.report.layer_report import LayerReport

PREPARE, ROW = "prepare", "row"
_NAMES = ("kind", "key", "model", "variant", "budget", "file")

Plain = dict[str, Any]


def job(spec: Mapping[str, Any]) -> Plain:
    """Does a job.

    Args:
        spec: as :mod:`tfmpq.sweep.plan` makes them.

    Returns:
        What the job is, its ``seconds``, the ``host`` it ran on, its ``warnings``, and what it found, or its ``error``:
        ``type`` and ``message``.
    """
    start = time.perf_counter()
    said: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            for category in (DataWarning, CacheWarning):
                warnings.simplefilter("always", category)
            model = here(spec["model"])
            spec = {**spec, "model": model, "is_copy": model["path"] != spec["model"]["path"]}
            _check_machine(spec)
            found = {COLLECT: _collect, PREPARE: _prepare, ROW: _row}[spec["kind"]](spec)
        said = list(dict.fromkeys(str(entry.message) for entry in caught))
    except Exception as error:
        found = {"error": described(error)}
    seconds = round(time.perf_counter() - start, 3)
    return {**_named(spec), **found, "warnings": said, "seconds": seconds, "host": platform.node()}


def job_after(spec: Mapping[str, Any], *former: Mapping[str, Any]) -> Plain:
    """Does a job once others are done, or fails as one of them did: it would take as long again to find the same.

    Args:
        spec: of a row, or of a ``prepare``.
        *former: what the job of the row's ``prepare`` returned, or those that collected for it.
    """
    errors = [result["error"] for result in former if "error" in result]
    return failed(spec, errors[0]) if errors else job(spec)


def failed(spec: Mapping[str, Any], error: Mapping[str, str]) -> Plain:
    """What a job returns that failed before it began, or whose process died."""
    return {**_named(spec), "error": dict(error), "warnings": [], "seconds": 0.0, "host": platform.node()}


def described(error: BaseException) -> dict[str, str]:
    """An error as plain data, on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError) and not isinstance(error, ConversionError):
        package = (error.name or "").partition(".")[0]
        text = f"there is no package '{package}' on host '{platform.node()}': pip install tfmpq there, as everywhere"
        return {"type": MissingDependencyError.__name__, "message": text}
    return {"type": type(error).__name__, "message": text or type(error).__name__}


def _named(spec: Mapping[str, Any]) -> Plain:
    return {name: spec[name]["name"] if name == "model" else spec[name] for name in _NAMES if name in spec}


def _check_machine(spec: Mapping[str, Any]) -> None:
    """Paths are the same everywhere: what is missing here is not shared with this machine."""
    host, model = platform.node(), spec["model"]
    needed = [model.get(name) for name in ("path", "classes")]
    for name in ("data", "labelled", "shards"):
        needed += files_of(model[name]) if model[name] else ()
    for path in needed:
        if path is not None and not Path(path).exists():
            raise DataError(f"'{path}' does not exist on host '{host}': all machines need it under the same path.")
    if not (place(spec["output"]) / LOCK).exists():
        raise OptionError(
            f"the output folder '{spec['output']}' of the sweep is not there on host '{host}': results go through a "
            "folder that all machines share."
        )


def _prepare(spec: Mapping[str, Any]) -> Plain:
    _prepared(spec)
    return {}


def _prepared(spec: Mapping[str, Any]) -> Any:
    """The network, from the cache where it is there."""
    import tfmpq

    source, samples, early = _opened(spec)
    return tfmpq.prepare(source, samples, cache=spec["cache"], statistics=statistics_of(spec), **early)


def _collect(spec: Mapping[str, Any]) -> Plain:
    if is_collected(spec):
        return {}
    import tfmpq
    from tfmpq.data.preprocessing import preprocessing_of

    source, samples, early = _opened(spec)
    model = spec["model"]
    preprocessing = None if model["preprocess"] is None else preprocessing_of(model["preprocess"])
    with placed(place(spec["output"]) / spec["file"]) as path:
        part = tuple(spec["part"])
        tfmpq.collect(source, samples, model["shards"], path, part=part, preprocessing=preprocessing, **early)
    return {}


def _opened(spec: Mapping[str, Any]) -> tuple[Any, Any, Plain]:
    """Model, samples and options of what comes before a file; the model is loaded as ``tfmpq convert`` does."""
    from tfmpq.cache.anywhere import open_store
    from tfmpq.data.augmentation import views_of_samples
    from tfmpq.data.calibration_files import open_calibration
    from tfmpq.data.preprocessing import preprocessing_of
    from tfmpq.model_files import load_from_file
    from tfmpq.options import OF_A_FILE, Options
    from tfmpq.sweep.spec import options_from

    model, chosen = spec["model"], options_from(spec["options"])
    options = Options(**chosen)
    preprocessing = None if model["preprocess"] is None else preprocessing_of(model["preprocess"])
    open_data = partial(open_calibration, model["data"], preprocessing=preprocessing, max_samples=model["max_samples"])
    source = load_from_file(
        model["path"],
        open_data,
        activations=options.activations,
        batch_size=options.batch_size,
        signature=spec["options"].get("signature"),
        sizes=options.sizes,
        trust=options.trust,
        store=None if spec["is_copy"] else open_store(spec["cache"]),  # which knows models by their paths
    )
    float_model: Any = source.model
    samples = views_of_samples(
        open_data(float_model.inputs),
        float_model.inputs,
        model["views"],
        crop=model["crop"],
        flip=model["flip"],
        seed=options.seed,
    )
    early = {name: value for name, value in chosen.items() if name not in (*OF_A_FILE, "signature", "sizes")}
    return source, samples, {**early, "progress": False}


def _row(spec: Mapping[str, Any]) -> Plain:
    from converters.frontend.origin import as_brought
    from tfmpq.files import write_atomic
    from tfmpq.options import OF_A_FILE
    from tfmpq.recipe.budget_text import parse_budget
    from tfmpq.sweep.figures import figures
    from tfmpq.sweep.spec import options_from

    prepared = _prepared(spec)
    network = prepared.network
    real, stock = (
        as_brought(content, network.float_model.origin)
        for content in (network.float_model.flatbuffer, network.stock.content)
    )
    result = None
    if spec["variant"] in BASES:
        content = real if spec["variant"] == FLOAT else stock
    else:
        late = {name: value for name, value in options_from(spec["options"]).items() if name in OF_A_FILE}
        result = prepared.finish(budget=parse_budget(spec["budget"]), **late)
        content = result.tflite_model
    found = figures(spec, content, real, network.float_model.inputs) if spec["metrics"] else {}
    with placed(place(spec["output"]) / spec["file"]) as path:
        if result is None:
            write_atomic(path, content)
        else:
            result.save(path)
    if result is not None:
        found["layers"] = _layers(result.report.layers)
    return {"bytes": len(content), "stock_bytes": len(stock), "digest": bytes_digest(content), **found}


def _layers(layers: Sequence[LayerReport]) -> list[Plain]:
    """What the summary shows of each layer."""
    return to_plain(
        [
            {
                "name": layer.name,
                "lowering": layer.lowering,
                "bits": layer.bits,
                "bytes": layer.bytes_after,
                "sqnr_db": round(layer.sqnr_db, 2),
                "error_share": None if layer.error_share is None else round(layer.error_share, 5),
            }
            for layer in layers
        ]
    )
