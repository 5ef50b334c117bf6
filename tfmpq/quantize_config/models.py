"""Annotated and quantized models of tfmot to what `tfmpq.convert` needs: the float model inside, and its settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from converters.errors import ModelError
from converters.frontend.keras_checks import layers as sublayers
from tfmpq.quantize_config.config import MultipointQuantizeConfig
from tfmpq.quantize_config.folding import activation_name, inner, row_sign
from tfmpq.quantize_config.kinds import kernel_of
from tfmpq.quantize_config.quantizer import MultipointQuantizer
from tfmpq.simulation.points import channel_rows, simulate
from tfmpq.simulation.settings import SimulationSettings
from tfmpq.simulation.source import SimulatedLayer, Source, layer_rules


def read(model: Any) -> Source:
    """Takes tfmot's wrappers off a model.

    An annotated model gives its settings; one that went through ``quantize_apply`` its trained weights, and the points
    that its multipoint layers compute with. What tfmot simulates of the other layers is dropped: they are converted
    like any float layer.

    Raises:
        ModelError: The model is neither Sequential nor functional, is both annotated and quantized, has a layer that
            cannot be rebuilt, or does not compute the same without its annotations.
    """
    wrappers = [layer for _, layer in sublayers(model) if inner(layer) is not layer]
    annotated = [layer for layer in wrappers if type(layer).__name__ == "QuantizeAnnotate"]
    if annotated and len(annotated) < len(wrappers):
        raise ModelError(
            f"tf_keras model '{model.name}' is annotated (layer '{annotated[0].name}') and quantized at once. Call "
            "tfmot's quantize_apply on a model in which no layer is quantized yet, or give the annotated model."
        )
    clean, twins = _without_wrappers(model)
    paths = {id(layer): path for path, layer in sublayers(clean)}
    if annotated:
        _check_same(model, clean)
        configs = {paths[id(twins[id(layer)])]: layer.quantize_config for layer in annotated}
        settings = {path: c.settings for path, c in configs.items() if isinstance(c, MultipointQuantizeConfig)}
        for layer in annotated:
            if isinstance(layer.quantize_config, MultipointQuantizeConfig):
                kernel_of(layer.layer)
        return Source(clean, layer_rules(settings, simulated=False))
    simulated = {}
    for wrapper in wrappers:
        found = _settings(wrapper)
        if found is not None:
            simulated[paths[id(twins[id(wrapper)])]] = _take_points(wrapper, twins[id(wrapper)], found)
    return Source(clean, layer_rules({p: s.settings for p, s in simulated.items()}, simulated=True), simulated)


def _settings(wrapper: Any) -> SimulationSettings | None:
    found = [q.settings for _, q, _ in wrapper._weight_vars if isinstance(q, MultipointQuantizer)]
    return found[0] if found else None


def _take_points(wrapper: Any, twin: Any, settings: SimulationSettings) -> SimulatedLayer:
    """The points of a quantized layer; its twin in the clean model gets the weight they stand for."""
    kernel = kernel_of(twin)
    variable = getattr(twin, kernel.attribute)
    trained = variable.numpy()
    sign = row_sign(wrapper)
    signs = None if sign is None else sign.numpy()
    variable.assign(simulate(trained, kernel.channel_axes, settings, signs))
    rows = channel_rows(trained, kernel.channel_axes)
    return SimulatedLayer(settings, rows, np.ones(len(rows), np.float32) if signs is None else signs)


def _without_wrappers(model: Any) -> tuple[Any, dict[int, Any]]:
    """A copy of the model without what tfmot put around and between its layers.

    Returns:
        (copy, the copy of every layer by the id of the layer or of its wrapper)
    """
    if not isinstance(model, tf_keras.Sequential) and not getattr(model, "_is_graph_network", False):
        raise ModelError(
            f"tf_keras model '{model.name}' is neither Sequential nor functional; tfmot's wrappers can only be taken "
            "off such models. Annotate the parts of a functional model."
        )
    twins: dict[int, Any] = {}

    def copy(layer: Any) -> Any:
        twins[id(layer)] = _copy(layer, copy)
        return twins[id(layer)]

    try:
        clean = tf_keras.models.clone_model(model, clone_function=copy)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"tf_keras model '{model.name}' cannot be copied without tfmot's wrappers: {error}. Layers of your own "
            "need get_config and from_config that rebuild them."
        ) from error
    for _, layer in sublayers(model):
        if id(layer) in twins:
            _copy_weights(layer, twins[id(layer)])
    return clean, twins


def _copy(layer: Any, copy: Any) -> Any:
    if isinstance(layer, tf_keras.Model):
        return tf_keras.models.clone_model(layer, clone_function=copy)
    if type(layer).__name__ == "QuantizeLayer":
        return tf_keras.layers.Activation("linear", name=layer.name)
    wrapped = inner(layer)
    config = wrapped.get_config()
    if type(getattr(wrapped, "activation", None)).__name__ in ("QuantizeAwareActivation", "NoOpActivation"):
        config["activation"] = activation_name(wrapped)
    return type(wrapped).from_config(config)


def _copy_weights(layer: Any, twin: Any) -> None:
    """Weights of a layer, or of the one inside a wrapper of ``quantize_apply``, which keeps them among its own."""
    if isinstance(layer, tf_keras.Model) or type(layer).__name__ == "QuantizeLayer":
        return
    if not type(layer).__name__.startswith("QuantizeWrapper"):
        twin.set_weights(layer.get_weights())
        return
    values: dict[str, list[Any]] = {}
    for variable in layer.weights:
        values.setdefault(_plain_name(variable), []).append(variable)
    for variable in twin.weights:
        found = values.get(_plain_name(variable), [])
        if len(found) != 1 or found[0].shape != variable.shape:
            raise ModelError(
                f"layer '{layer.name}': cannot tell which of its variables is {_plain_name(variable)!r} of layer "
                f"'{twin.name}'. Give the model as it was before quantize_apply."
            )
        variable.assign(found[0])


def _plain_name(variable: Any) -> str:
    return variable.name.rpartition("/")[2]


def _check_same(model: Any, clean: Any) -> None:
    """Compares the outputs on random inputs, bit by bit; what the copy missed would go unnoticed otherwise."""
    generator = np.random.default_rng(0)

    def example(tensor: Any) -> tf.Tensor:
        # Sizes that are open are refused later, with the input's name; one is enough to compare.
        shape = [2 if n is None and i == 0 else 1 if n is None else n for i, n in enumerate(tensor.shape)]
        values = generator.normal(size=shape) if tensor.dtype.is_floating else np.zeros(shape)
        return tf.cast(values, tensor.dtype)

    inputs = tf.nest.map_structure(example, model.input)
    pairs = [tf.nest.flatten(m(inputs, training=False)) for m in (model, clean)]
    for number, (ours, theirs) in enumerate(zip(*pairs, strict=True)):
        if not np.array_equal(ours.numpy(), theirs.numpy(), equal_nan=ours.dtype.is_floating):
            raise ModelError(
                f"tf_keras model '{model.name}' computes something else in output {number} once its annotations are "
                "taken off: a layer's get_config does not describe it fully. Give the model without annotations and a "
                "recipe."
            )
