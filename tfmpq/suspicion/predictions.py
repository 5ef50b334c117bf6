"""Signs in what the float model computes from the data: one class for all, the same outputs for all, saturation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.errors import ModelError
from converters.layers.kinds import kind_of
from converters.layers.output_kind import SOFTMAXES, maker, output_kind
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op
from converters.tflite.probe import probe
from tfmpq.suspicion.pixels import RAW, Images
from tfmpq.suspicion.samples import FEW, Sample
from tfmpq.suspicion.suspicion import Suspicion

# Zoo networks put 6 to 28 % of 32 right samples into one class, and 50 to 100 % of 0..255 pixels where they want
# another range (75 and more for most). With two classes, or without a softmax that makes outputs classes for certain,
# nothing less than nearly all of them is a sign.
_ONE_CLASS, _NEARLY_ALL = 0.75, 0.95
_MANY_CLASSES = 6
_SAME = 1e-3  # of the largest value; outputs of 0..1 pixels where 0..255 are wanted still vary by 3 %
# First layers of zoo networks, on right data: at most 1 % of values at ReLU6's limit, deviation .4 to 6; on 0..255
# where they want less: 30 % and more, 28 and more.
_AT_LIMIT, _DEVIATION = 0.2, 15.0


@dataclass
class Predictions:
    """Outputs of the float model on some samples, as running figures.

    Attributes:
        count: samples.
        classes: predicted class, if the model is a classifier -> samples; empty if it is none for certain.
        low, high: least and largest value of every element, for each output.
        uneven: whether outputs have different sizes, so that elements are not the same ones.
    """

    count: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    low: list[np.ndarray] = field(default_factory=list)
    high: list[np.ndarray] = field(default_factory=list)
    uneven: bool = False

    def add(self, outputs: Sequence[np.ndarray]) -> None:
        """Takes in the outputs for one sample."""
        values = [np.array(value) for value in outputs]
        self.count += 1
        if len(values) == 1 and values[0].ndim == 2 and values[0].shape[0] == 1:
            # One number stands for two classes.
            self.classes[int(values[0].argmax() if values[0].shape[1] > 1 else values[0][0, 0] > 0.5)] += 1
        same = len(self.low) == len(values) and all(a.shape == b.shape for a, b in zip(self.low, values, strict=True))
        if same:
            self.low = [np.minimum(a, b) for a, b in zip(self.low, values, strict=True)]
            self.high = [np.maximum(a, b) for a, b in zip(self.high, values, strict=True)]
        else:
            self.uneven = self.uneven or bool(self.low)
            self.low = self.high = values


def predict(content: bytes, samples: Sequence[Sample]) -> Predictions:
    """Runs a float file.

    Raises:
        FileFormatError: The runtime cannot run it.
    """
    interpreter, result = make_interpreter(content), Predictions()
    for sample in samples:
        result.add(run(interpreter, sample))
    return result


def check_finite(predictions: Predictions, graph: Graph, source: str) -> None:
    """Refuses a model that computes no numbers: TensorFlow's calibration would make a range of something else of them.

    Infinities of one sign pass: a logarithm of 0 is one.

    Raises:
        ModelError: An output is NaN, or infinite both ways.
    """
    for output, low, high in zip(graph.outputs, predictions.low, predictions.high, strict=False):
        if low.dtype.kind == "f" and (np.isnan(low).any() or (np.isneginf(low).any() and np.isposinf(high).any())):
            raise ModelError(
                f"{source}: output '{output.name}' of the float model is NaN or infinite for the calibration samples: "
                "what it computes overflows. Check its weights, and that samples are preprocessed as in training."
            )


def prediction_signs(predictions: Predictions, graph: Graph) -> Iterator[Suspicion]:
    """Suspicions against data for which the model gives one answer."""
    if predictions.count < FEW:
        return
    pairs = list(zip(predictions.low, predictions.high, strict=True))
    if not predictions.uneven and all(_same(low, high) for low, high in pairs):
        yield Suspicion(
            "data",
            "constant predictions",
            f"The float model gives the same outputs for all {predictions.count} samples that were looked at, to "
            "0.1 %: the data carry nothing it knows. Preprocess them as in training (pixel range, normalization).",
        )
        return
    if not predictions.classes:
        return
    label, times = predictions.classes.most_common(1)[0]
    share = times / predictions.count
    if share >= _limit(graph, predictions.low[0].shape[1]):
        yield Suspicion(
            "data",
            "one class",
            f"The float model predicts class {label} for {times} of {predictions.count} samples. Either the data are "
            "not preprocessed as in training (pixel range, normalization, order of channels), or they hold one class: "
            "give samples of all classes.",
        )


def _same(low: np.ndarray, high: np.ndarray) -> bool:
    spread = np.max(high.astype(np.float64) - low, initial=0.0)
    return bool(spread <= _SAME * max(np.abs(low).max(initial=0), np.abs(high).max(initial=0)))


def _limit(graph: Graph, classes: int) -> float:
    """Share of samples in one class from which it is suspicious; above 1: never."""
    op = maker(graph, graph.outputs[0])
    if classes == 1 and op is not None and op.code == BuiltinOperator.LOGISTIC:
        return 1.0  # what is looked for may be rare
    if output_kind(graph) != "classes":
        return 2.0
    if op is not None and op.code in SOFTMAXES:
        return _ONE_CLASS if classes >= _MANY_CLASSES else _NEARLY_ALL
    return _NEARLY_ALL if classes >= _MANY_CLASSES else 2.0  # few numbers need not be logits


def saturation_sign(model: Model, samples: Sequence[Sample], images: Images | None) -> Suspicion | None:
    """A suspicion against pixels 0..255 that overdrive the first layer.

    For models that say nothing on their training data: those without batch normalization, and .tflite files, where it
    is folded into the weights.

    Raises:
        FileFormatError: The runtime cannot run the file.
    """
    first = next((op for op in model.graph.ops if kind_of(op) is not None), None)
    if first is None or images is None or images.range is not RAW or not images.whole:
        return None
    interpreter = make_interpreter(probe(model, [first.outputs[0]]))
    count, at_limit, total, square = 0, 0, 0.0, 0.0
    for sample in samples:
        values = run(interpreter, sample)[0].astype(np.float64)
        count, at_limit = count + values.size, at_limit + int((values >= 6).sum())
        total, square = total + float(values.sum()), square + float(np.square(values).sum())
    if _limited_to_6(first):
        share = at_limit / count
        seen = f"{share:.0%} of its outputs are at the limit of its ReLU6"
        wrong = share >= _AT_LIMIT
    else:
        deviation = math.sqrt(max(square / count - (total / count) ** 2, 0.0))
        seen = f"its outputs have a standard deviation of {deviation:.0f}"
        wrong = deviation >= _DEVIATION
    if not wrong:
        return None
    return Suspicion(
        "data",
        "pixels 0..255",
        f"The representative data are whole numbers 0..255, and they overdrive the model's first layer: {seen}. Most "
        "models want pixels / 127.5 - 1 (on the command line --preprocess=minus_one_one), pixels / 255 "
        "(--preprocess=zero_one) or a mean and standard deviation. If this one was trained on 0..255 "
        "(--preprocess=raw), all is well.",
    )


def _limited_to_6(op: Op) -> bool:
    activation: Any = getattr(op.options, "fusedActivationFunction", 0)
    return activation == 3  # ActivationFunctionType.RELU6
