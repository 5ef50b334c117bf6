"""What is differentiated: the tensors whose gradients are taken, and the random directions they are taken in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from converters.tflite.graph import Graph, Op, Tensor, TensorType

_TEMPERATURE = 4.0  # as for sensitivities
_SAME_VALUES = {"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE"}  # may stand between a softmax and the output


@dataclass(frozen=True)
class Head:
    """A tensor whose gradient is taken, and what random direction it is taken in."""

    tensor: Tensor
    kind: Literal["softmax", "logistic", "projection"]
    scale: float = 1.0  # softmax: its beta; projection: 1 / (standard deviation * sqrt(number of values))

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Randomness of one sample: (draws, *shape of the tensor)."""
        if self.kind == "softmax":
            return rng.gumbel(size=shape).astype(np.float32)
        if self.kind == "logistic":
            return rng.random(shape, np.float32)
        return rng.choice(np.array([-1, 1], np.float32), shape)

    def direction(self, tf: Any, value: Any, noise: Any) -> Any:
        """Gradient of the sampled objective with respect to the tensor, here in closed form."""
        if self.kind == "softmax":  # log p(label): the largest of logits + Gumbel noise is a sample of the softmax
            logits = self.scale * value
            label = tf.one_hot(tf.argmax(logits + noise, -1), value.shape[-1])
            return self.scale * (label - tf.nn.softmax(logits))
        if self.kind == "logistic":
            p = tf.sigmoid(value)
            return tf.cast(noise < p, tf.float32) - p
        return self.scale * noise

    def tempered(self, tf: Any, value: Any, noise: Any) -> Any:
        """A random direction whose squared product with a change of logits is, on average, twice the KL divergence.

        Of logits divided by a temperature, at which all samples count, not only doubtful ones. ``noise``: standard
        normal. Other heads than softmax: :meth:`direction`.
        """
        if self.kind != "softmax":
            return self.direction(tf, value, noise)
        p = tf.nn.softmax(self.scale / _TEMPERATURE * value)
        root = tf.sqrt(p) * noise  # diag(p) - p p^T = R R^T with R = (I - p 1^T) diag(sqrt(p))
        return self.scale * (root - p * tf.reduce_sum(root, -1, keepdims=True))

    def expected_square(self, tf: Any, value: Any) -> Any:
        """Expectation of the squared direction over its randomness; softmax only."""
        p = tf.nn.softmax(self.scale * value)
        return self.scale**2 * p * (1 - p)


def heads_of(graph: Graph) -> list[Head]:
    """The logits of a single probability output, otherwise every float output."""
    producers = graph.producers()
    if len(graph.outputs) == 1:
        op = producers.get(graph.outputs[0])
        while op is not None and op.name in _SAME_VALUES:
            op = producers.get(op.input(0))
        if op is not None and op.name in ("SOFTMAX", "LOG_SOFTMAX"):
            return [Head(op.input(0), "softmax", getattr(op.options, "beta", 1.0))]
        if op is not None and op.name == "LOGISTIC":
            return [Head(op.input(0), "logistic")]
    return [Head(t, "projection") for t in graph.outputs if t.type == TensorType.FLOAT32]


def maker(ops: Sequence[Op], tensor: Tensor) -> Op | None:
    """The op that computes a tensor's values, where no activation follows it."""
    producers = {made: op for op in ops for made in op.outputs}
    op = producers.get(tensor)
    while op is not None and op.name in _SAME_VALUES:
        op = producers.get(op.input(0))
    return None if op is None or getattr(op.options, "fusedActivationFunction", 0) else op
