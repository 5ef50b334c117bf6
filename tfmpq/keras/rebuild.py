"""Copies of models in which layers are replaced: by wrapped ones, or by what the wrappers hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from converters.errors import ModelError
from converters.frontend.keras_checks import layers as sublayers
from tfmpq.keras.checks import is_graph


def graph_layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The layers that :func:`rebuild` can replace, with their paths: those of the model and of models inside it."""
    for layer in model.layers:
        path = f"{prefix}{layer.name}"
        if is_graph(layer):
            yield from graph_layers(layer, f"{path}/")
        else:
            yield path, layer


class Copies:
    """Makes copies of layers; their variables are filled in once the copies are built."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, Any]] = []

    def __call__(self, layer: Any) -> Any:
        """A copy of the layer, without its variables so far.

        Raises:
            ModelError: The layer does not say how it was made.
        """
        try:
            copy = type(layer).from_config(layer.get_config())
        except Exception as error:  # layers of users fail in any way
            raise ModelError(
                f"layer '{layer.name}' ({type(layer).__name__}) cannot be copied from its configuration: "
                f"{' '.join(str(error).split())[:300]}. Give it a get_config() with all arguments of __init__."
            ) from error
        self._pairs.append((layer, copy))
        return copy

    def fill(self) -> None:
        """Copies the variables, also those of layers inside layers."""
        for source, target in self._pairs:
            _copy_variables(source, target)
            for (_, old), (_, new) in zip(sublayers(source), sublayers(target), strict=True):
                _copy_variables(old, new)


def _copy_variables(source: Any, target: Any) -> None:
    # As saving does it: some layers (Normalization) derive more from what is loaded.
    store: dict[str, Any] = {}
    source.save_own_variables(store)
    if store:
        target.load_own_variables(store)


def rebuild(model: Any, expand: Callable[[Any, Copies], list[Any]]) -> Any:
    """A copy of a model, uncompiled, with independent weights.

    Args:
        model: Sequential or functional; models inside it are rebuilt too.
        expand: (layer, copies) -> the layers to call in its place one after the other; none: the layer is left out.
            Called once a layer, however often the model uses it.
    """
    copies = Copies()
    result = _rebuild(model, lambda layer: expand(layer, copies), {})
    copies.fill()
    return result


def _rebuild(model: Any, expand: Callable[[Any], list[Any]], done: dict[int, list[Any]]) -> Any:
    def replace(layer: Any) -> list[Any]:
        if id(layer) not in done:
            if is_graph(layer):
                done[id(layer)] = [_rebuild(layer, expand, done)]
            elif isinstance(layer, keras.layers.Layer):
                done[id(layer)] = expand(layer)
            else:  # an operation of keras.ops, which has no state
                done[id(layer)] = [layer]
        return done[id(layer)]

    if type(model) is keras.Sequential:
        chain = [new for layer in model.layers for new in replace(layer)]
        return keras.Sequential([_new_input(model.inputs[0]), *chain], name=model.name, trainable=model.trainable)
    # Cloning the model itself would compile the copy as well, and name its inputs after tensors.
    graph: Any = keras.Model(model.input, model.output, name=model.name)
    inputs = keras.tree.map_structure(_new_input, model.input)
    clone = keras.models.clone_model(graph, inputs, clone_function=replace, call_function=_call_in_turn)
    clone.trainable = model.trainable
    return clone


def _new_input(tensor: Any) -> Any:
    layer = tensor._keras_history.operation
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=layer.name, optional=layer.optional)


def _call_in_turn(layers: list[Any], inputs: Any, *args: Any, **kwargs: Any) -> Any:
    for layer in layers:
        inputs = layer(inputs, *args, **kwargs)
        args, kwargs = (), {}  # what the caller gave belongs to the first
    return inputs
