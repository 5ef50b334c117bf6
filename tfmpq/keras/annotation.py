"""`tfmpq.keras.annotate`: which layers get points, and which."""

from __future__ import annotations

from typing import Any

import keras

from converters.errors import ModelError, OptionError
from tfmpq.keras.checks import check_graph, check_keras3
from tfmpq.keras.kernels import check_layer, is_supported
from tfmpq.keras.rebuild import Copies, graph_layers, rebuild
from tfmpq.keras.wrappers import Annotate, Simulate
from tfmpq.recipe.patterns import compile_pattern
from tfmpq.simulation import SimulationSettings

_CALLER = "tfmpq.keras.annotate"


def annotate(
    layer_or_model: Any,
    config: SimulationSettings = SimulationSettings(),  # noqa: B008 (frozen)
    *,
    match: str = "",
) -> Any:
    """Attaches settings to a layer, or to layers of a model.

    The result computes what it did before. The settings are part of its configuration: they survive cloning and
    ``.keras`` files. ``simulate`` and ``tfmpq.convert`` read them; layers without any are converted with 8-bit weights.

    Args:
        layer_or_model: a layer; or a built Sequential or functional model, of which a copy is made. In a model every
            convolution (1-D, 2-D, depthwise, transposed) and dense layer that has no settings yet gets these, first and
            last layers and models inside it included. To give layers their own, use ``match``, or annotate single
            layers before or afterwards.
        config: the settings.
        match: regular expression looked for in the paths of a model's layers; only those get the settings.

    Returns:
        For a layer: an :class:`Annotate` layer of the same name, to be called in its place. For a layer that is
        annotated already: the same, with the new settings from now on, in the model that it is part of too. For a
        model: the copy.

    Raises:
        ModelError: Not of Keras 3, a layer that cannot have points, a subclassed, unbuilt or simulated model, or a
            model without any layer that the settings are for.
        OptionError: ``config`` or ``match`` is no such thing.
    """
    check_keras3(layer_or_model, _CALLER)
    if not isinstance(config, SimulationSettings):
        raise OptionError(
            f"{_CALLER}: config must be tfmpq.keras.SimulationSettings, not {type(config).__name__}: "
            "annotate(layer, SimulationSettings(bits=4))"
        )
    if isinstance(layer_or_model, keras.Model):
        return _annotate_model(layer_or_model, config, match)
    if match:
        raise OptionError(f"{_CALLER}: match={match!r} chooses layers of a model; '{layer_or_model.name}' is a layer.")
    if isinstance(layer_or_model, Annotate):
        layer_or_model.settings = config
        return layer_or_model
    _refuse_simulated(layer_or_model)
    check_layer(layer_or_model)
    return Annotate(layer_or_model, config)


def _annotate_model(model: Any, config: SimulationSettings, match: str) -> Any:
    check_graph(model, _CALLER)
    try:
        matches = compile_pattern(match)
    except ValueError as error:
        raise OptionError(f"{_CALLER}: match={match!r} is no regular expression: {error}.") from error
    found = list(graph_layers(model))
    for _, layer in found:
        _refuse_simulated(layer)
    paths = {id(layer): path for path, layer in found if is_supported(layer)}
    chosen = {key for key, path in paths.items() if matches(path)}
    if not chosen:
        names = ", ".join(f"'{path}'" for path in list(paths.values())[:10])
        matching = f" that matches {match!r}. Those without settings are: {names or 'none'}." if match else "."
        raise ModelError(
            f"{_CALLER}: model '{model.name}' has no layer to annotate{matching} To change the settings of a layer "
            "that has some, annotate the layer itself: annotate(model.get_layer(name), config)."
        )

    def expand(layer: Any, copies: Copies) -> list[Any]:
        if id(layer) not in chosen:
            return [copies(layer)]
        check_layer(layer)
        return [Annotate(copies(layer), config)]

    return rebuild(model, expand)


def _refuse_simulated(layer: Any) -> None:
    if isinstance(layer, Simulate):
        raise ModelError(
            f"{_CALLER}: layer '{layer.name}' is simulated already. Annotate the float model, then simulate that."
        )
