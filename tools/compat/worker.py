"""Runs files in one runtime; needs that runtime and NumPy only, and is run by the Python that has them.

    python worker.py BACKEND JOBS.json RESULTS.jsonl

JOBS holds ``rounds`` of timing (0: none) and ``jobs``: a name, the path of a model and of the stock file beside it, the
path of its inputs (raw bytes of some samples). RESULTS gets a line for the runtime's version, one when a job begins and
one when it is done, so that whoever reads them knows where a process died.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
from typing import Any

import numpy as np

_MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "ai-edge-litert-nightly": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
_RESOLVERS = {"builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
_LONGEST = 4.0  # seconds after which no further round begins
_LEAST = 5  # rounds
_REPEATS = 5  # runs in one measurement


class TfLite:
    """A file in a TensorFlow Lite interpreter."""

    def __init__(self, module: str, path: str, kernels: str) -> None:
        runtime = importlib.import_module(module)
        options: dict[str, Any] = {}
        if kernels in _RESOLVERS:
            options["experimental_op_resolver_type"] = getattr(runtime.OpResolverType, _RESOLVERS[kernels])
        self.interpreter = runtime.Interpreter(model_path=path, num_threads=1, **options)
        self.interpreter.allocate_tensors()
        (self.source,), (self.result,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()

    def samples(self, content: bytes) -> np.ndarray:
        """The inputs in ``content``, a batch of one each."""
        return np.frombuffer(content, self.source["dtype"]).reshape(-1, *self.source["shape"])

    def set(self, sample: np.ndarray) -> None:
        """Gives it its input."""
        self.interpreter.set_tensor(self.source["index"], sample)

    def run(self) -> None:
        """Computes."""
        self.interpreter.invoke()

    def output(self) -> np.ndarray:
        """What it computed."""
        return self.interpreter.get_tensor(self.result["index"])


class OpenVino:
    """A file compiled by OpenVINO for the CPU."""

    def __init__(self, path: str) -> None:
        openvino = importlib.import_module("openvino")
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": 1})
        self.request = compiled.create_infer_request()
        port = compiled.input(0)
        self.dtype, shape = port.get_element_type().to_dtype(), port.get_partial_shape()
        self.shape = [1 if size.is_dynamic else size.get_length() for size in shape]

    def samples(self, content: bytes) -> np.ndarray:
        """As of :class:`TfLite`."""
        return np.frombuffer(content, self.dtype).reshape(-1, *self.shape)

    def set(self, sample: np.ndarray) -> None:
        """As of :class:`TfLite`."""
        openvino = importlib.import_module("openvino")
        self.request.set_input_tensor(openvino.Tensor(np.ascontiguousarray(sample)))

    def run(self) -> None:
        """As of :class:`TfLite`."""
        self.request.infer()

    def output(self) -> np.ndarray:
        """As of :class:`TfLite`."""
        return self.request.get_output_tensor(0).data


def version_of(backend: str) -> str:
    """The runtime's distribution and version."""
    names = ("tensorflow-cpu", "tensorflow") if backend == "tensorflow" else (backend,)
    for name in names:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise importlib.metadata.PackageNotFoundError(backend)


def load(backend: str, kernels: str, path: str) -> TfLite | OpenVino:
    """The file, ready to run."""
    return OpenVino(path) if backend == "openvino" else TfLite(_MODULES[backend], path, kernels)


def do(job: dict[str, Any], backend: str, kernels: str, rounds: int) -> dict[str, Any]:
    """Outputs of one file as bytes, and its time beside stock's, in turn."""
    subject = load(backend, kernels, job["model"])
    with open(job["inputs"], "rb") as file:
        batches = subject.samples(file.read())
    outputs = []
    for sample in batches:
        subject.set(sample)
        subject.run()
        outputs.append(subject.output().copy())
    found: dict[str, Any] = {"output": np.stack(outputs).tobytes().hex(), "dtype": str(outputs[0].dtype)}
    if rounds:
        stock = load(backend, kernels, job["stock"])
        stock.set(batches[0])
        _time(subject, stock, rounds // 2)  # until whatever compiles or caches has done so
        found["ratio"] = float(np.median(_time(subject, stock, rounds)))
    return found


def _time(subject: TfLite | OpenVino, stock: TfLite | OpenVino, rounds: int) -> list[float]:
    """Processor time relative to stock's right behind it, once a round; a busy machine does not count that way."""
    ratios: list[float] = []
    begun = time.perf_counter()
    while len(ratios) < rounds and (len(ratios) < _LEAST or time.perf_counter() - begun < _LONGEST):
        taken = []
        for model in (subject, stock):
            start = time.process_time()
            for _ in range(_REPEATS):
                model.run()
            taken.append(time.process_time() - start)
        ratios.append(taken[0] / taken[1])
    return ratios


def main(backend: str, jobs: str, results: str) -> None:
    """See the module."""
    with open(jobs) as file:
        given = json.load(file)
    with open(results, "a") as log:

        def say(**line: Any) -> None:
            log.write(json.dumps(line) + "\n")
            log.flush()

        say(runtime=version_of(backend))
        for job in given["jobs"]:
            say(begun=job["name"])
            try:
                say(done=job["name"], **do(job, backend, given["kernels"], given["rounds"]))
            except Exception as error:  # whatever a runtime raises is its way of refusing
                say(done=job["name"], refused=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
