"""Activations that int8 cannot hold: most of what a tensor says lies within one step of its scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.probe import probe
from tfmpq.suspicion.predictions import Predictions
from tfmpq.suspicion.samples import Sample
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import plural, shorten

_WIDE = 100.0  # ranges of activations below this are ordinary, and not looked into
_BULK_SHARE = 0.05  # of the values: what is left beside a mask is at least the diagonal
_SAMPLES = 2  # that inner tensors are read on
_NAMED = 3
_DEAD_SHARE = 0.1  # of an output's channels
# Probabilities have steps of 1/256; a class that no sample shows is one value there, and nothing is wrong.
_COARSE = 1 / 64
_NAME = 60  # columns in a sentence
_QUANTIZED = (TensorType.INT8, TensorType.UINT8)
_CONVERSIONS = {BuiltinOperator.QUANTIZE, BuiltinOperator.DEQUANTIZE}


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
    """Suspicions against the stock int8 file's scales of inner values and outputs, which tfmpq takes over.

    Args:
        model: the float file.
        stock: graph of its stock int8 twin.
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
        f"int8 activations lose all but the largest values of {plural(len(lost), 'tensor')}: {names}{more}. A few huge "
        f"values, such as those of an attention mask, stretch the range until one int8 step is {step:.2g}, and "
        "everything else becomes one number, in stock int8 too. Let the model mask with a small value: -30 instead of "
        "-1e9 is as good in front of a softmax; in Keras, add (mask - 1) * 30 to the scores in place of "
        "use_causal_mask or a mask argument.",
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
    """Whether all but some huge values fall into one step, and are not the same anyway."""
    huge = np.abs(values) >= 50 * step  # of 127 or 255
    bulk = values[~huge]
    return (
        huge.any() and bulk.size >= _BULK_SHARE * values.size and 0 < bulk.max() - bulk.min() < step
    )  # fmt: skip


# ---------------------------------------------------------------- outputs


def _outputs(stock: Graph, predictions: Predictions) -> Iterator[Suspicion]:
    if len(stock.outputs) != len(predictions.low):
        return
    producers = stock.producers()
    for output, low, high in zip(stock.outputs, predictions.low, predictions.high, strict=True):
        tensor = output
        while tensor in producers and producers[tensor].code in _CONVERSIONS:
            tensor = producers[tensor].input(0)
        if tensor.type not in _QUANTIZED or tensor.quantization is None or tensor.scale < _COARSE:
            continue
        for axis in _channel_axes(low.shape):
            dead = _dead(low, high, axis, tensor.scale)
            if dead.sum() >= max(1, _DEAD_SHARE * dead.size):
                yield _mixed(output, dead, low, high, axis, tensor.scale)
                break


def _channel_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Channels come last, or second where detectors put their boxes side by side: (1, 84, 8400)."""
    return (len(shape) - 1, 1) if len(shape) == 3 else (len(shape) - 1,) if len(shape) > 1 else ()


def _spans(low: np.ndarray, high: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    rest = tuple(i for i in range(low.ndim) if i != axis)
    return low.min(axis=rest).astype(np.float64), high.max(axis=rest).astype(np.float64)


def _dead(low: np.ndarray, high: np.ndarray, axis: int, scale: float) -> np.ndarray:
    """Channels that vary, all within one step, beside others that do not."""
    least, most = _spans(low, high, axis)
    one_value = np.round(least / scale) == np.round(most / scale)  # the zero point is a whole number of steps
    dead = one_value & (most > least)
    return dead if not one_value.all() else np.zeros_like(dead)


def _mixed(output: Tensor, dead: np.ndarray, low: np.ndarray, high: np.ndarray, axis: int, scale: float) -> Suspicion:
    least, most = _spans(low, high, axis)
    where = np.flatnonzero(dead)
    runs = np.split(where, np.flatnonzero(np.diff(where) > 1) + 1)
    named = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}..{r[-1]}" for r in runs[:_NAMED])
    more = ", ..." if len(runs) > _NAMED else ""
    return Suspicion(
        "activations",
        "mixed output",
        f"{len(where)} of {dead.size} channels of output '{shorten(output.name, _NAME)}' come out as one value ({named}"
        f"{more}): they hold {least[dead].min():.3g} to {most[dead].max():.3g}, others up to "
        f"{max(abs(least).max(), abs(most).max()):.3g}, and the tensor's one int8 step is {scale:.2g}. It is the same "
        "in stock int8. Give the model an output for each kind of value (boxes, scores) in place of one concatenated "
        "tensor, or scale them to one range, boxes to 0..1.",
    )
