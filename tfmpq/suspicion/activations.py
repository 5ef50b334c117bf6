"""Activations that int8 cannot hold: most of what a tensor says lies within one step of its scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError
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
# Of an output's channels: joined tensors have few kinds of channels; of others, ReLU features say, some are quiet.
_JOINED_SHARE, _SHARE = 0.1, 0.5
# Probabilities have steps of 1/256; a class that no sample shows is one value there, and nothing is wrong.
_COARSE = 1 / 64
_NAME = 60  # columns in a sentence
_QUANTIZED = (TensorType.INT8, TensorType.UINT8)
_PASSED = {"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"}
_JOINS = {"CONCATENATION", "PACK"}


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
        found += _outputs(stock, predictions)
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


def _outputs(stock: Graph, predictions: Predictions) -> Iterator[Suspicion]:
    if len(stock.outputs) != len(predictions.low):
        return
    producers = stock.producers()
    for output, low, high in zip(stock.outputs, predictions.low, predictions.high, strict=True):
        scale, joined = _made(output, producers)
        if scale < _COARSE:
            continue
        for axis in _channel_axes(low.shape):
            least, most = _spans(low, high, axis)
            lost = _lost(least, most, scale)
            if lost.any() and lost.mean() >= (_JOINED_SHARE if joined else _SHARE):
                yield _mixed(output, lost, least, most, scale)
                break


def _made(output: Tensor, producers: Mapping[Tensor, Op]) -> tuple[float, bool]:
    """Scale of an output's integers, 0 if it has none, and whether it is several tensors joined into one."""
    tensor, scale = output, 0.0
    while True:
        if not scale and tensor.type in _QUANTIZED and tensor.quantization is not None:
            scale = tensor.scale
        op = producers.get(tensor)
        if op is None or op.name not in _PASSED:
            return scale, op is not None and op.name in _JOINS
        tensor = op.input(0)


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


def _mixed(output: Tensor, lost: np.ndarray, least: np.ndarray, most: np.ndarray, scale: float) -> Suspicion:
    where = np.flatnonzero(lost)
    runs = np.split(where, np.flatnonzero(np.diff(where) > 1) + 1)
    named = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}..{r[-1]}" for r in runs[:_NAMED])
    more = ", ..." if len(runs) > _NAMED else ""
    single = bool((np.round(most / scale) == np.round(least / scale))[lost].all())
    return Suspicion(
        "activations",
        "mixed output",
        f"{len(where)} of {lost.size} channels of output '{shorten(output.name, _NAME)}' come out as one value"
        f"{'' if single else ' or two'} ({named}{more}): they hold {least[lost].min():.3g} to {most[lost].max():.3g}, "
        f"others up to {max(np.abs(least).max(), np.abs(most).max()):.3g}, and the one int8 step of the tensor is "
        f"{scale:.2g}. It is the same in stock int8. Give the model an output for each kind of value (boxes, scores) "
        "instead of one joined tensor, or scale all to one range, boxes to 0..1.",
    )
