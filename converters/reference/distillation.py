"""Integer rows trained so that a network with them gives what the float network gives: no labels are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from converters.layers.layer import Layer
from converters.native_logs import quiet
from converters.reference.backpropagation import Begun, begin, check_sums, feeds_of, tensorflow
from converters.reference.heads import Head, heads_of
from converters.reference.tf_ops import OpError, Program
from converters.tflite.graph import Graph, Tensor

_TEMPERATURE = 2.0  # of the logits that are compared (Polino et al., ICLR 2018)
# Of Adam, in steps of the grid for codes: .002 leaves a third of the gain (ResNet-8 at 3 bits, 1600 images).
_RATE = 0.01
_SCALE_RATE = 0.0005  # and of the scale itself for scales
_MOMENTS, _TINY = (0.9, 0.999), 1e-8
_BATCH = 16
_LOOKED_AT = 32  # samples by which it is found how many run at once


@dataclass(frozen=True, eq=False)
class RowsToTrain:
    """Rows of one layer as whole numbers on one grid each.

    Attributes:
        layer: whose.
        codes: float64 (C, d), whole.
        step: (C,), what one is worth.
        low, high: (C,), limits of the codes.
        means: float64 (uses, C, d), what each use reads on average: biases follow the rows, so that the mean output
            stays.
        biases: float32 (C,) of every use, that go with these codes.
    """

    layer: Layer
    codes: np.ndarray
    step: np.ndarray
    low: np.ndarray
    high: np.ndarray
    means: np.ndarray
    biases: tuple[np.ndarray, ...]


Trained = list[tuple[np.ndarray, np.ndarray]]  # codes (C, d) and steps (C,) of every layer


def distilled(
    graph: Graph,
    student: Graph,
    rows: Sequence[RowsToTrain],
    samples: Sequence[Mapping[str, np.ndarray]],
    feed_tensors: Mapping[str, Tensor],
    *,
    epochs: int,
    seed: int = 0,
) -> Iterator[Trained]:
    """Trains codes and steps by Adam, with a rate that decays to 0, and gives them after every epoch.

    Source of loss and rounding: Polino, Pascanu, Alistarh, "Model compression via distillation and quantization", ICLR
    2018: the divergence of tempered outputs, at the rounded weights; gradients pass straight through the rounding. Of
    outputs that are no probabilities the squared error counts.

    Args:
        graph: the float graph that the layers were found in.
        student: the same operators, in the same order and over the same activations, with constants for the weights
            and biases of all layers, those of ``rows`` included.
        rows: to be trained.
        samples: inputs by name, at the sizes on file.
        feed_tensors: those names -> the graph's input tensors.
        epochs: passes over the samples.
        seed: of the order of the samples.

    Raises:
        OpError: An operator has no counterpart or no gradient in TensorFlow here; outputs are not finite.
    """
    heads = heads_of(graph)
    if not heads:
        raise OpError("no output of the graph is float32")
    feeds = list(feeds_of(samples, feed_tensors))
    tf = tensorflow()
    with tf.device("CPU"), quiet():
        begun = begin(tf, graph, heads, feeds[:_LOOKED_AT], _BATCH)
        training = _Training(begun, graph, student, rows, feeds[0])
        order = np.random.default_rng(seed)
        batches = max(len(feeds) // begun.batch, 1)
        for epoch in range(epochs):
            shuffled = order.permutation(len(feeds))
            for number in range(batches):
                done = (epoch * batches + number) / (epochs * batches)
                part = [feeds[i] for i in shuffled[number * begun.batch : (number + 1) * begun.batch]]
                loss = training.step(part, 0.5 * (1.0 + np.cos(np.pi * done)))
                if not np.isfinite(loss):
                    raise OpError(f"the loss is {loss} in epoch {epoch + 1}")
            yield training.result()


class _Training:
    """Variables of the rows, and the traced step."""

    def __init__(
        self,
        begun: Begun,
        graph: Graph,
        student: Graph,
        rows: Sequence[RowsToTrain],
        example: Mapping[Tensor, np.ndarray],
    ) -> None:
        tf = begun.program.tf
        self._tf, self._begun, self._inputs = tf, begun, list(example)
        self._student = Program(tf, student, [head.tensor for head in begun.heads])
        check_sums(self._student.ops)
        twins = dict(zip(graph.ops, student.ops, strict=True))
        self._rows = [_Rows(tf, entry, [twins[use.float_op] for use in entry.layer.uses]) for entry in rows]
        self._variables = [v for entry in self._rows for v in entry.variables]
        self._rates = [rate for _ in self._rows for rate in (_RATE, _SCALE_RATE)]
        self._state = [[tf.Variable(tf.zeros_like(v)) for v in self._variables] for _ in _MOMENTS]
        self._count = tf.Variable(0.0)
        self._traced = tf.function(partial(self._step), autograph=False)

    def step(self, feeds: Sequence[Mapping[Tensor, np.ndarray]], rate: float) -> float:
        """Trains on a batch, at this share of the full rate; the loss before that."""
        inputs = [self._tf.constant(np.concatenate([feed[t] for feed in feeds])) for t in self._inputs]
        try:
            return float(self._traced(inputs, self._tf.constant(rate, self._tf.float32)))
        except (LookupError, ValueError, self._tf.errors.OpError) as error:
            raise OpError(f"backpropagation: {str(error).strip().splitlines()[-1]}") from error

    def result(self) -> Trained:
        """Codes and steps as they are now."""
        return [entry.result() for entry in self._rows]

    def _step(self, inputs: list[Any], rate: Any) -> Any:
        tf, heads = self._tf, self._begun.heads
        feeds = dict(zip(self._inputs, inputs, strict=True))
        wanted = self._begun.program.run(feeds)[0]
        with tf.GradientTape() as tape:
            own: dict[Tensor, Any] = dict(feeds)
            for entry in self._rows:
                own.update(entry.tensors())
            found = self._student.run(own)[0]
            losses = [_distance(tf, head, wanted[head.tensor], found[head.tensor]) for head in heads]
            loss = tf.add_n(losses) / len(heads)
        self._update(tape.gradient(loss, self._variables, unconnected_gradients="zero"), rate)
        return loss

    def _update(self, gradients: Sequence[Any], rate: Any) -> None:
        """Adam (Kingma, Ba, ICLR 2015)."""
        tf = self._tf
        self._count.assign_add(1.0)
        for i, (variable, gradient) in enumerate(zip(self._variables, gradients, strict=True)):
            means = []
            for state, keep, value in zip(self._state, _MOMENTS, (gradient, gradient**2), strict=True):
                state[i].assign(keep * state[i] + (1 - keep) * value)
                means.append(state[i] / (1 - keep**self._count))
            variable.assign_sub(rate * self._rates[i] * means[0] / (tf.sqrt(means[1]) + _TINY))
        for entry in self._rows:
            entry.clip()


class _Rows:
    """One layer's codes and steps, in the layout that its operators read."""

    def __init__(self, tf: Any, rows: RowsToTrain, ops: Sequence[Any]) -> None:
        site, self._kind = rows.layer.site, rows.layer.kind
        self._tf = tf
        self._weights = [op.input(site.weight) for op in ops]
        self._biases = [None if site.bias is None else op.input(site.bias) for op in ops]
        shape = self._weights[0].shape

        def placed(values: np.ndarray) -> np.ndarray:
            return self._kind.tensor(np.broadcast_to(values, rows.codes.shape), shape)

        self._row_of = placed(np.arange(len(rows.step))[:, None])
        self._low, self._high = (placed(v[:, None]).astype(np.float32) for v in (rows.low, rows.high))
        self._first = rows.step.astype(np.float32)
        self._codes = tf.Variable(placed(rows.codes).astype(np.float32))
        self._ratio = tf.Variable(np.ones(len(rows.step), np.float32))
        self._start = placed(rows.codes * rows.step[:, None]).astype(np.float32)
        self._means = [placed(mean).astype(np.float32) for mean in rows.means]
        self._first_biases = rows.biases

    @property
    def variables(self) -> list[Any]:
        return [self._codes, self._ratio]

    def clip(self) -> None:
        """No further than half a step beyond the last code: what is beyond takes long to come back."""
        self._codes.assign(self._tf.clip_by_value(self._codes, self._low - 0.5, self._high + 0.5))

    def tensors(self) -> dict[Tensor, Any]:
        """Weights and biases of the operators."""
        tf = self._tf
        rounded = tf.clip_by_value(tf.round(self._codes), self._low, self._high)
        straight = self._codes + tf.stop_gradient(rounded - self._codes)
        weight = straight * tf.gather(self._first * self._ratio, self._row_of)
        result: dict[Tensor, Any] = dict.fromkeys(self._weights, weight)
        for bias, first, mean in zip(self._biases, self._first_biases, self._means, strict=True):
            if bias is not None:
                shift = tf.math.unsorted_segment_sum((self._start - weight) * mean, self._row_of, len(self._first))
                result[bias] = first + shift
        return result

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        codes = np.clip(np.rint(self._codes.numpy()), self._low, self._high)
        return self._kind.rows(codes).astype(np.float64), self._first * self._ratio.numpy()


def _distance(tf: Any, head: Head, wanted: Any, found: Any) -> Any:
    """The loss at one output, a mean over samples and positions of probabilities, else over all values."""
    if head.kind == "softmax":
        first, second = (tf.nn.log_softmax(head.scale / _TEMPERATURE * value) for value in (wanted, found))
        return _TEMPERATURE**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(first) * (first - second), -1))
    if head.kind == "logistic":
        first, second = wanted / _TEMPERATURE, found / _TEMPERATURE
        difference = tf.sigmoid(first) * (first - second) - tf.nn.softplus(first) + tf.nn.softplus(second)
        return _TEMPERATURE**2 * tf.reduce_mean(difference)
    return tf.reduce_mean(tf.square(head.scale * (found - wanted)))
