"""Activations that int8 cannot hold: most of what a tensor says lies within one step of its scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError
from converters.layers.kinds import kind_of
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Graph, Model, Op, Tensor, TensorType
from converters.tflite.probe import probe
from tfmpq.suspicion.predictions import Predictions
from tfmpq.suspicion.samples import Sample
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import plural, shorten

_WIDE = 1000.0  # ranges of activations below this are not looked into; masks of -1000 and beyond do harm
_BULK_SHARE = 0.05  # of the values: what is left beside a mask is at least the diagonal
_SAMPLES = 2  # that inner tensors are read on
_NAMED = 3
_LEVELS = 2  # a channel that has no more is lost, if ...
_SMALL = 2  # ... its values are no larger than so many steps: others of 64 times its size made the step
# Of an output's channels; see least_share.
_JOINED_SHARE, _SHARE = 0.1, 0.5
# Probabilities have steps of 1/256; a class that no sample shows is one value there, and nothing is wrong.
_COARSE = 1 / 64
_NAME = 60  # columns in a sentence
_QUANTIZED = (TensorType.INT8, TensorType.UINT8)
_PASSED = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"}
_JOINS = {"CONCATENATION", "PACK"}
_ELEMENTWISE = {"ADD", "SUB", "MUL", "DIV"}


@dataclass(frozen=True, eq=False)
class _Wide:
    """An activation whose int8 range is wide.

    Attributes:
        op: of the float file, that writes it.
        step: of the int8 scale.
    """

    op: Op
    step: float


def activation_signs(
    model: Model, stock: Graph, samples: Sequence[Sample], predictions: Predictions | None
) -> tuple[Suspicion, ...]:
    """Suspicions against an int8 file's scales of inner values and outputs, which tfmpq takes over.

    Args:
        model: the float file, with what was mended in it.
        stock: graph of its int8 twin.
        samples: some of the data.
        predictions: of the float model on them, if it could be run.
    """
    found = [*_masks(model, stock, samples[:_SAMPLES])]
    if predictions is not None and predictions.count:
        found += _outputs(stock, predictions, _output_names(model))
    return tuple(found)


# ---------------------------------------------------------------- masks


def _masks(model: Model, stock: Graph, samples: Sequence[Sample]) -> Iterator[Suspicion]:
    wide = _wide(model.graph, stock)
    if not wide:
        return
    try:
        interpreter = make_interpreter(probe(model, [entry.op.outputs[0] for entry in wide]))
        runs = [run(interpreter, sample) for sample in samples]
    except FileFormatError:  # the whole file runs, or later stages say why not
        return
    values = [np.concatenate([np.ravel(r[i]) for r in runs]) for i in range(len(wide))]
    lost = [entry for entry, v in zip(wide, values, strict=True) if _collapses(v.astype(np.float64), entry.step)]
    if not lost:
        return
    names = ", ".join(f"'{shorten(e.op.outputs[0].name, _NAME)}' ({e.op.name})" for e in lost[:_NAMED])
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    step = max(entry.step for entry in lost)
    yield Suspicion(
        "activations",
        "masked values",
        f"In int8 all values of {plural(len(lost), 'tensor')} but the masked ones become one number: {names}{more}. "
        f"Huge masked values stretch the range until one int8 step is {step:.2g}, in stock int8 too. They are left as "
        "they are where more than a softmax reads them, or its results would change. Let the model "
        "mask with a small value: -30 instead of -1e9 is as good in front of a softmax; in Keras, add (mask - 1) * 30 "
        "to the scores in place of use_causal_mask or a mask argument.",
    )


def _wide(graph: Graph, stock: Graph) -> list[_Wide]:
    """Float operators whose output has a wide int8 range in the stock file; the two files name tensors alike."""
    steps = {
        tensor.name: tensor.scale
        for op in stock.ops
        for tensor in op.outputs
        if tensor.type in _QUANTIZED and tensor.quantization is not None and tensor.scale * 255 >= _WIDE
    }
    floats = (op for op in graph.ops if len(op.outputs) == 1 and op.outputs[0].type == TensorType.FLOAT32)
    return [_Wide(op, steps[op.outputs[0].name]) for op in floats if op.outputs[0].name in steps]


def _collapses(values: np.ndarray, step: float) -> bool:
    """Whether the values are masked ones and others, which all fall into one step and are not the same anyway."""
    masked = values <= -50 * step  # of 127 or 255
    rest = values[~masked]
    if not masked.any() or rest.size < _BULK_SHARE * values.size:
        return False
    return bool(0 < np.ptp(rest) < step)


# ---------------------------------------------------------------- outputs


def _output_names(model: Model) -> list[str]:
    """What users call the outputs of the main graph."""
    named = [(t, name) for s in model.signatures if s.graph is model.graph for name, t in s.outputs]
    return [dict(named).get(tensor, tensor.name) for tensor in model.graph.outputs]


def _outputs(stock: Graph, predictions: Predictions, names: Sequence[str]) -> Iterator[Suspicion]:
    if not len(stock.outputs) == len(names) == len(predictions.low):
        return
    for output, name, low, high in zip(stock.outputs, names, predictions.low, predictions.high, strict=True):
        span = stored_span(stock, output)
        if span is None or (scale := (span[1] - span[0]) / 255) < _COARSE:
            continue
        for axis in _channel_axes(low.shape):
            least, most = _spans(low, high, axis)
            lost = _lost(least, most, scale)
            if lost.any() and lost.mean() >= least_share(stock, output):
                yield _mixed(name, lost, least, most, scale)
                break


def stored_span(graph: Graph, output: Tensor) -> tuple[float, float] | None:
    """Smallest and largest value that the integers of an output stand for; None if it is made in float."""
    tensor, producers = output, graph.producers()
    while tensor.type not in _QUANTIZED or tensor.quantization is None:
        op = producers.get(tensor)
        if op is None or op.name not in _PASSED:
            return None
        tensor = op.input(0)
    lowest = (-128 if tensor.type == TensorType.INT8 else 0) - tensor.zero_point
    return tensor.scale * lowest, tensor.scale * (lowest + 255)


def least_share(graph: Graph, output: Tensor) -> float:
    """Share of the channels of an output that are lost where something is wrong.

    Tensors joined into one, or numbers of a layer without activation, have few kinds of channels, and a small kind says
    as much as a large one. Of features behind a ReLU, pooled or not, some are quiet.
    """
    tensor, producers = output, graph.producers()
    while True:
        op = producers.get(tensor)
        if op is None or op.name not in _PASSED:
            break
        tensor = op.input(0)
    if op is None:
        return _SHARE
    constants = (t for t in op.inputs if t is not None and t.data is not None)
    linear = getattr(op.options, "fusedActivationFunction", 0) == 0
    decoded = op.name in _ELEMENTWISE and any(np.prod(t.shape) > 1 for t in constants)
    made = op.name in _JOINS or (linear and (kind_of(op) is not None or decoded))
    return _JOINED_SHARE if made else _SHARE


def _channel_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Channels come last, or second where detectors put their boxes side by side: (1, 84, 8400)."""
    return (len(shape) - 1, 1) if len(shape) == 3 else (len(shape) - 1,) if len(shape) > 1 else ()


def _spans(low: np.ndarray, high: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    rest = tuple(i for i in range(low.ndim) if i != axis)
    return low.min(axis=rest).astype(np.float64), high.max(axis=rest).astype(np.float64)


def _lost(least: np.ndarray, most: np.ndarray, scale: float) -> np.ndarray:
    """Channels that vary, by little more than one step, beside others that do not."""
    # The zero point is a whole number of steps, so it changes no count.
    levels = np.round(most / scale) - np.round(least / scale) + 1
    small = np.maximum(np.abs(least), np.abs(most)) <= _SMALL * scale
    lost = (levels <= _LEVELS) & small & (most > least)
    return lost & bool((levels > _LEVELS).any())


def _mixed(output: str, lost: np.ndarray, least: np.ndarray, most: np.ndarray, scale: float) -> Suspicion:
    where = np.flatnonzero(lost)
    runs = np.split(where, np.flatnonzero(np.diff(where) > 1) + 1)
    named = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}..{r[-1]}" for r in runs[:_NAMED])
    more = ", ..." if len(runs) > _NAMED else ""
    single = bool((np.round(most / scale) == np.round(least / scale))[lost].all())
    return Suspicion(
        "activations",
        "mixed output",
        f"{len(where)} of {lost.size} channels of output '{shorten(output, _NAME)}' come out as one value"
        f"{'' if single else ' or two'} ({named}{more}): they hold {least[lost].min():.3g} to {most[lost].max():.3g}, "
        f"others up to {max(np.abs(least).max(), np.abs(most).max()):.3g}, and the one int8 step of the tensor is "
        f"{scale:.2g}. It is the same in stock int8. outputs={{'{output}': 'float'}} may keep them apart; surely does "
        "an output for each kind of value (boxes, scores) instead of one joined tensor, or one range for all, boxes "
        "in 0..1.",
    )
