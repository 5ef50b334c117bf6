"""Models for the Android app: every form of a network, their catalogue, and a small labelled evaluation set.

    python -m tools.android.make_assets                      # the bundled demo's, into the app's assets
    python -m tools.android.make_assets --model net.keras --calibration images.npz --data labelled.npz --output_dir net
    adb push net/. /sdcard/Android/data/org.tfmpq.demo/files/models/

A catalogue that is already there keeps its other networks. ``output_sha256`` is that of all outputs for random inputs
of seed 0, those of `tfmpq benchmark`; float outputs depend on the processor and have none.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.runtime import interpreter as runtime
from tfmpq.analysis.evaluation import evaluate
from tfmpq.benchmark.inputs import random_inputs
from tfmpq.data.evaluation_set import Labelled, load_labelled
from tfmpq.data.representative import check_samples
from tfmpq.demo import demo
from tfmpq.files import read_npz, write_atomic
from tfmpq.version import __version__

ASSETS = Path(__file__).parents[2] / "android_demo" / "app" / "src" / "main" / "assets" / "models"
CATALOGUE = "catalogue.json"
_FORMAT = 1


@dataclass(frozen=True)
class Form:
    """One way to store a network.

    Attributes:
        name: part of the file's name.
        scheme: what the app calls it.
        bits: of a weight.
        make: makes the file.
        expand: whether the app expands it when it is loaded.
    """

    name: str
    scheme: str
    bits: int
    make: Callable[[], bytes]
    expand: bool = False


def forms(model: Any, samples: Any) -> Iterator[Form]:
    """The forms of a network, float first.

    Args:
        model: as for :func:`tfmpq.convert`.
        samples: representative data, likewise.
    """
    floats = load_model(model)

    def convert(**options: Any) -> Callable[[], bytes]:
        budget = tfmpq.ExtraBits(0.10)  # the same for all forms
        return lambda: tfmpq.convert(model, samples, budget=budget, progress=False, **options).tflite_model

    yield Form("float", "float", 32, lambda: floats.flatbuffer)
    yield Form("stock", "stock int8", 8, lambda: int8_twin(floats, check_samples(samples, floats.inputs)))
    yield Form("auto", "auto", 4, convert())
    yield Form("parallel", "parallel", 4, convert(lowering="parallel"))
    yield Form("compact", "compact", 4, convert(lowering="compact"), expand=True)


def make_assets(folder: Path, network: str, model: Any, samples: Any, labelled: Labelled) -> None:
    """Writes the files of a network and enters them into the folder's catalogue."""
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = f"{network}.eval"
    write_atomic(folder / evaluation, evaluation_set(labelled))
    entries = []
    for form in forms(model, samples):
        content = form.make()
        path = folder / f"{network}_{form.name}.tflite"
        write_atomic(path, content)
        entries.append(_entry(path, form, network, content, labelled) | {"evaluation": evaluation})
        print(f"{path.name}: {len(content)} bytes, top-1 {entries[-1]['host_accuracy']:.1f} %", flush=True)
    write_atomic(folder / CATALOGUE, json.dumps(_catalogue(folder, network, entries), indent=1).encode() + b"\n")


def _entry(path: Path, form: Form, network: str, content: bytes, labelled: Labelled) -> dict[str, Any]:
    runs = tfmpq.expand(content) if form.expand else content
    outputs = {kernels: output_sha256(runs, kernels) for kernels in ("xnnpack", "builtin")}
    top1 = evaluate(runs, labelled).top1
    assert top1 is not None  # there are labels
    return {
        "id": path.stem,
        "name": f"{network} {form.scheme}",
        "network": network,
        "scheme": form.scheme,
        "bits": form.bits,
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "expand": form.expand,
        "host_accuracy": round(100 * top1, 4),
        "float_output_sha256" if form.scheme == "float" else "output_sha256": outputs,
    }


def output_sha256(content: bytes, kernels: Any) -> str:
    """SHA-256 of the bytes of all outputs in graph order for random inputs of seed 0."""
    interpreter = runtime.make_interpreter(content, kernels=kernels)
    outputs = runtime.run(interpreter, random_inputs(runtime.inputs(interpreter), 0))
    return hashlib.sha256(b"".join(output.tobytes() for output in outputs)).hexdigest()


def evaluation_set(labelled: Labelled) -> bytes:
    """The samples of a network with one input as the app reads them, whatever the type of a form's input.

    A line of JSON, then the samples, as uint8 if they are such and else as float32, then the labels as int32.
    """
    (samples,) = labelled.inputs.values()
    labels = labelled.labels
    assert labels is not None
    bytes_ = samples.dtype == np.uint8
    head = {
        "count": len(samples),
        "shape": list(samples.shape[1:]),
        "type": "uint8" if bytes_ else "float32",
        "scale": 1.0,
        "offset": 0.0,
    }
    data = samples if bytes_ else samples.astype("<f4")
    return json.dumps(head).encode() + b"\n" + data.tobytes() + labels.astype("<i4").tobytes()


def _catalogue(folder: Path, network: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    path = folder / CATALOGUE
    known = json.loads(path.read_text())["models"] if path.exists() else []
    return {
        "format": _FORMAT,
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "tfmpq": __version__,
        "runtime": runtime.runtime_name(),
        "models": [*(entry for entry in known if entry["network"] != network), *entries],
    }


def first(labelled: Labelled, count: int) -> Labelled:
    """The first samples."""
    labels = labelled.labels
    return Labelled({k: v[:count] for k, v in labelled.inputs.items()}, None if labels is None else labels[:count])


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the files that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="float model, as for tfmpq.convert; default: the bundled demo's")
    parser.add_argument("--calibration", type=Path, help="an .npz with samples 'x'; default: those of --data")
    parser.add_argument("--data", type=Path, help="an .npz with samples 'x' and class numbers 'y'; goes with --model")
    parser.add_argument("--name", help="name of the network; default: that of the model's file")
    parser.add_argument("--count", type=int, default=300, help="samples of the evaluation set, the first of --data")
    parser.add_argument("--output_dir", type=Path, default=ASSETS, help="where the files go")
    given = parser.parse_args(arguments)
    if (given.model is None) != (given.data is None):
        parser.error("--model and --data, labelled samples, go together")
    if given.model is None:
        labelled = first(load_labelled(demo.TEST), given.count)
        make_assets(given.output_dir, given.name or "digits", demo.MODEL, demo.calibration, labelled)
        return
    labelled = load_labelled(given.data)
    if labelled.labels is None or len(labelled.inputs) != 1:
        parser.error(f"'{given.data}' must hold one array of samples and class numbers 'y'")
    samples = read_npz(given.calibration)["x"] if given.calibration else next(iter(labelled.inputs.values()))
    make_assets(given.output_dir, given.name or given.model.stem, given.model, samples, first(labelled, given.count))


if __name__ == "__main__":
    main()
