"""Which batch normalization TensorFlow's converter will fold into a layer of a tf_keras model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfmpq.simulation.core import fold_sign

_NORMALIZATIONS = ("BatchNormalization", "SyncBatchNormalization")
# What does nothing in inference: the converter folds across it.
_TRAINING_ONLY = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
)


def inner(layer: Any) -> Any:
    """The layer itself, out of the wrappers of tfmot."""
    return layer.layer if type(layer).__name__.startswith(("QuantizeWrapper", "QuantizeAnnotate")) else layer


def activation_name(layer: Any) -> str:
    """Name of a layer's activation function, ``"linear"`` where it has none, whatever tfmot has put around it."""
    activation: Any = getattr(layer, "activation", None)
    while type(activation).__name__ == "QuantizeAwareActivation":
        activation = activation.activation
    if activation is None or type(activation).__name__ == "NoOpActivation":
        return "linear"
    return getattr(activation, "__name__", type(activation).__name__)


def only_reader(layer: Any) -> Any | None:
    """The one layer that reads the output of ``layer``, wrappers included; None where there are none or several."""
    node = _only_call(layer)
    reader = None if node is None else _only_reader(node)
    return None if reader is None else reader.layer


def folded_normalizations(layer: Any) -> list[Any]:
    """The batch normalizations that are folded into ``layer`` (itself, or the wrapper that stands for it), in turn.

    They follow with nothing but each other, and what only training sees, in between; a layer whose output is also read
    elsewhere, or that is called twice, stays as it is. An output of the model cannot be seen from here.
    """
    found = []
    node = _only_call(layer)
    while node is not None and activation_name(inner(node.layer)) == "linear":
        node = _only_reader(node)
        following = None if node is None else inner(node.layer)
        if type(following).__name__ in _NORMALIZATIONS and _over_last_axis(following):
            found.append(following)
        elif type(following).__name__ not in _TRAINING_ONLY:
            break
    return found


def _only_call(layer: Any) -> Any | None:
    """The call of a layer in a functional model, as tf_keras records it."""
    return layer._inbound_nodes[0] if len(layer._inbound_nodes) == 1 else None


def _only_reader(node: Any) -> Any | None:
    """The one call that reads what ``node`` returns.

    Layers that tfmot leaves unwrapped are part of several models at once, so that their calls must be told apart by
    the tensors.
    """
    outputs = {id(tensor) for tensor in tf.nest.flatten(node.outputs)}
    readers = [n for n in node.layer._outbound_nodes if any(id(tensor) in outputs for tensor in n.keras_inputs)]
    return readers[0] if len(readers) == 1 else None


def _over_last_axis(normalization: Any) -> bool:
    rank = normalization.input_spec.ndim if normalization.built else None
    return [axis % rank if rank else axis for axis in normalization.axis] in ([-1], [(rank or 0) - 1])


def row_sign(layer: Any) -> tf.Tensor | None:
    """Sign (C,) that folding gives the rows of ``layer``, by the present values; None where nothing is folded."""
    sign = None
    for normalization in folded_normalizations(layer):
        if normalization.gamma is not None:
            factor = fold_sign(normalization.gamma)
            sign = factor if sign is None else sign * factor
    return sign
