"""Files of litert-quantizer (ai-edge-quantizer until 0.10), an optional package, each in the best form found.

Layers that the package has no 4-bit form of (depthwise convolutions) are int8: asked for 4 bits alone, it leaves them
float. All have static int8 activations, with the ranges of the whole calibration set, or ``own ranges``: the package's
moving average clips them, which costs 7 points of top-1 on MobileNetV1 at int8 and gains some on other networks.
``a8w4``: 4-bit weights wherever possible. ``mixed``: 4-bit weights (OCTAV) but for the layers that lose most at the
network's output for each weight, which stay int8 until they hold a share of all such weights.
"""

from __future__ import annotations

import contextlib
import io
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import MissingDependencyError, ModelError
from converters.runtime import interpreter as runtime
from converters.tflite.reader import load
from converters.tflite.writer import save
from tools.research.measuring import predict

_OWN = ", own ranges"
INT8_PEERS = ("static int8", f"static int8{_OWN}")
_SHARES = {"mixed 4/8, 10 % int8": 0.10, "mixed 4/8, 25 % int8": 0.25}
MIXED = {**_SHARES, **{name + _OWN: share for name, share in _SHARES.items()}}
PEERS = (*INT8_PEERS, "a8w4 MIN_MAX", "a8w4 OCTAV", *MIXED)
_INT4_OPS = ("CONV_2D", "FULLY_CONNECTED")  # their weights have the channels in front
_SENSITIVITY_SAMPLES = 16

Samples = Mapping[str, np.ndarray]  # input name -> array, samples first


@dataclass(frozen=True)
class PeerFile:
    """A file, or the error instead of it."""

    name: str
    content: bytes = b""
    seconds: float | None = None
    failure: Exception | None = None


@dataclass(frozen=True)
class Loss:
    """What 4 bits do to one layer: the name of its op's output (which recipes address), its weights, the loss."""

    output: str
    size: int
    loss: float


def convert_peers(float_file: bytes, samples: Samples, names: Sequence[str]) -> Iterator[PeerFile]:
    """Makes the files asked for, one after the other.

    Args:
        float_file: float .tflite.
        samples: calibration samples; one array of any name for a single input.
        names: of :data:`PEERS`.

    Raises:
        MissingDependencyError: litert-quantizer is not installed.
    """
    try:
        from litert_quantizer import quantizer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            "comparing with litert-quantizer needs that package: pip install 'tfmpq[peers]', or leave "
            "it out with --peers none"
        ) from error
    samples = _by_name(float_file, samples)
    start = time.perf_counter()
    with quiet():
        own = _calibrate(quantizer, float_file, samples)
    calibration = {**own, **_with_ranges(own, value_ranges(float_file, samples))}
    calibration_seconds = time.perf_counter() - start
    losses: list[Loss] = []
    for name in names:
        start = time.perf_counter()
        try:
            if name in MIXED and not losses:
                losses = measure_losses(float_file, {k: v[:_SENSITIVITY_SAMPLES] for k, v in samples.items()})
            with quiet():
                content = _convert(quantizer, float_file, own if name.endswith(_OWN) else calibration, name, losses)
            yield PeerFile(name, content, calibration_seconds + time.perf_counter() - start)
        except Exception as error:  # whatever its graph surgery leads to
            yield PeerFile(name, failure=error)


def _by_name(float_file: bytes, samples: Samples) -> Samples:
    names = [detail.name for detail in runtime.inputs(runtime.make_interpreter(float_file))]
    return dict(zip(names, samples.values(), strict=True)) if len(names) == len(samples) == 1 else samples


def _feeds(samples: Samples) -> Iterator[dict[str, np.ndarray]]:
    for i in range(len(next(iter(samples.values())))):
        yield {name: array[i : i + 1] for name, array in samples.items()}


def _calibrate(quantizer: Any, float_file: bytes, samples: Samples) -> dict[str, Any]:
    signatures = list(runtime.make_interpreter(float_file).get_signature_list())
    if len(signatures) != 1:
        raise ModelError(f"litert-quantizer calibrates by signature, and the float file has {len(signatures)} of them")
    tool = quantizer.Quantizer(float_file)
    _add(quantizer, tool, ".*", 8)
    return dict(tool.calibrate({signatures[0]: list(_feeds(samples))}, num_threads=1))


def value_ranges(float_file: bytes, samples: Samples) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every float tensor over all samples, by tensor name."""
    interpreter = runtime.make_interpreter(float_file, kernels="builtin", preserve_all_tensors=True)
    tensors = [d for d in interpreter.get_tensor_details() if d["dtype"] == np.float32]
    ranges: dict[str, tuple[float, float]] = {}
    for feed in _feeds(samples):
        runtime.run(interpreter, feed)
        for tensor in tensors:
            try:
                values = interpreter.get_tensor(tensor["index"])
            except ValueError:  # an op's scratch tensor
                continue
            if values.size:
                low, high = ranges.get(tensor["name"], (np.inf, -np.inf))
                ranges[tensor["name"]] = (min(low, float(values.min())), max(high, float(values.max())))
    return ranges


def _with_ranges(own: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """The package's calibration result with these ranges in the places of its per-tensor ones."""
    return {
        name: {
            **found,
            "min": np.full_like(found["min"], ranges[name][0]),
            "max": np.full_like(found["max"], ranges[name][1]),
        }
        for name, found in own.items()
        if name in ranges and found and "min" in found and np.size(found["min"]) == 1
    }


def _convert(
    quantizer: Any, float_file: bytes, calibration: Mapping[str, Any], name: str, losses: Sequence[Loss]
) -> bytes:
    tool = quantizer.Quantizer(float_file)
    _add(quantizer, tool, ".*", 8)
    if name not in INT8_PEERS:  # where that is supported; the later rule wins
        _add(quantizer, tool, ".+", 4, octav=name != "a8w4 MIN_MAX")
    if name in MIXED:
        for output in kept_at_8_bits(losses, MIXED[name]):
            _add(quantizer, tool, f"^{re.escape(output)};?$", 8)  # the package ends names with a semicolon
    return bytes(tool.quantize(dict(calibration)).quantized_model)


def _add(quantizer: Any, tool: Any, regex: str, bits: int, *, octav: bool = False) -> None:
    algorithms = quantizer.AlgorithmName
    tool.add_static_config(
        regex, "*", 8, bits, algorithm_key=algorithms.OCTAV if octav else algorithms.MIN_MAX_UNIFORM_QUANT
    )


def measure_losses(float_file: bytes, samples: Samples) -> list[Loss]:
    """Squared error at the network's outputs when one layer alone has 4-bit weights, for every layer."""
    expected = predict(float_file, samples)
    model = load(float_file)
    found = []
    for op in model.graph.ops:
        if op.name not in _INT4_OPS or op.input(1).data is None:
            continue
        weight = op.input(1)
        before = weight.data
        weight.data = _rounded(weight.array()).tobytes()
        outputs = predict(save(model), samples)
        weight.data = before
        loss = sum(float(((a - b) ** 2).sum()) for a, b in zip(expected, outputs, strict=True))
        found.append(Loss(op.outputs[0].name, int(np.prod(weight.shape)), loss))
    return found


def _rounded(rows: np.ndarray) -> np.ndarray:
    scale = np.maximum(np.abs(rows).max(tuple(range(1, rows.ndim)), keepdims=True) / 7, np.float32(1e-30))
    return np.clip(np.rint(rows / scale), -8, 7) * scale


def kept_at_8_bits(losses: Sequence[Loss], share: float) -> list[str]:
    """Layers that lose most for each of their weights and hold at most ``share`` of all weights together."""
    left = share * sum(layer.size for layer in losses)
    kept = []
    for layer in sorted(losses, key=lambda layer: -layer.loss / layer.size):
        if layer.size <= left:
            kept.append(layer.output)
            left -= layer.size
    return kept


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the package's progress bars, summaries and warnings."""
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
