"""How far an int8 file's outputs are from the float model's, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.runtime.interpreter import outputs, run
from converters.runtime.probes import probe_interpreter
from converters.runtime.values import dequantize
from converters.tflite.graph import Graph, Model, Tensor, TensorType
from tfmpq.threads import INFERENCE_THREADS

Feed = Mapping[str, np.ndarray]
_STORED = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE"}
_READ = (TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT16)
# Of probabilities a few doubtful samples carry nearly all of the error; divided by this, logits of all samples count.
_TEMPERATURE = 4.0
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Outputs:
    """Real values of a file's outputs; for probabilities, of the logits they are made of.

    Attributes:
        values: for each output, a float64 array of each sample.
        probabilities: which of them go into a softmax.
    """

    values: Sequence[Sequence[np.ndarray]]
    probabilities: Sequence[bool]


def read_outputs(model: Model, samples: Sequence[Feed]) -> Outputs:
    """Runs a float or int8 file.

    Args:
        model: the file.
        samples: feeds by signature input name.

    Raises:
        FileFormatError: The runtime refuses it.
    """
    found = [_logits(model.graph, tensor) for tensor in model.graph.outputs]
    written = {t for op in model.graph.ops for t in op.outputs}
    found = [(tensor, soft) for tensor, soft in found if tensor.type in _READ and tensor in written]
    tensors = list(dict.fromkeys(tensor for tensor, _ in found))
    if not tensors:
        return Outputs([], [])
    interpreter = probe_interpreter(model, tensors, threads=INFERENCE_THREADS)
    details = outputs(interpreter)
    runs = [run(interpreter, feed) for feed in samples]
    read = {
        tensor: [dequantize(values[i], detail).astype(np.float64) for values in runs]
        for i, (tensor, detail) in enumerate(zip(tensors, details, strict=True))
    }
    return Outputs([read[tensor] for tensor, _ in found], [soft for _, soft in found])


def noises(reference: Outputs, found: Outputs) -> np.ndarray:
    """(samples,) squared error of the outputs relative to their variance over all samples, mean over the outputs; > 0.

    Probabilities are compared as square roots, their logits divided by a temperature before.

    Args:
        reference: of the float model.
        found: of the int8 file, of the same samples.
    """
    parts = [
        _relative([[_roots(v) for v in values] for values in (a, b)] if soft else [a, b])
        for a, b, soft in zip(reference.values, found.values, reference.probabilities, strict=True)
    ]
    return np.mean(parts, axis=0) + _TINY


def _relative(pair: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    variance = float(np.concatenate([np.ravel(v) for v in pair[0]]).var())
    errors = np.array([((x - y) ** 2).mean() for x, y in zip(*pair, strict=True)])
    return errors / max(variance, _TINY)


def _roots(logits: np.ndarray) -> np.ndarray:
    scaled = logits / _TEMPERATURE
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.sqrt(powers / powers.sum(axis=-1, keepdims=True))


def _logits(graph: Graph, output: Tensor) -> tuple[Tensor, bool]:
    """What a softmax reads that makes the output, if one does, else the output."""
    producers = graph.producers()
    tensor = output
    while (op := producers.get(tensor)) is not None:
        if op.name == "SOFTMAX":
            logits = op.input(0)
            return (logits, True) if logits in producers else (output, False)
        if op.name not in _STORED:
            break
        tensor = op.input(0)
    return output, False


@dataclass(frozen=True)
class Gain:
    """By how much noise falls at the outputs, in dB.

    Attributes:
        before: signal to noise without the change, mean over samples.
        mean: gain, mean over samples.
        standard_error: of that mean; infinite for one sample.
    """

    before: float
    mean: float
    standard_error: float


def gain_of(before: np.ndarray, after: np.ndarray) -> Gain:
    """Compares two files.

    Args:
        before, after: (samples,) from :func:`noises`, of the same samples.
    """
    levels = [-10 * np.log10(noise) for noise in (before, after)]
    gains = levels[1] - levels[0]
    spread = float(gains.std(ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
    return Gain(float(levels[0].mean()), float(gains.mean()), spread)
