"""What `tfmpq.convert` takes from a Keras 3 model of this package: the float model, and its settings or points."""

from __future__ import annotations

from typing import Any

from converters.errors import ModelError
from converters.frontend.keras_checks import layers as sublayers
from tfmpq.keras.checks import check_graph
from tfmpq.keras.int8_values import Int8Values
from tfmpq.keras.kernels import kernel_of
from tfmpq.keras.rebuild import Copies, graph_layers, rebuild
from tfmpq.keras.wrappers import Annotate, Simulate
from tfmpq.keras_marks import is_wrapper
from tfmpq.simulation.source import Source, layer_rules

_CALLER = "tfmpq.convert"


def read(model: Any) -> Source:
    """The float model inside an annotated or simulated one, and what its layers are to become.

    Raises:
        ModelError: The model cannot be taken apart: subclassed, unbuilt, or annotated and simulated at once.
    """
    check_graph(model, _CALLER)
    wrappers = find_wrappers(model)
    annotated = [path for path, wrapper in wrappers.items() if isinstance(wrapper, Annotate)]
    if annotated and len(annotated) < len(wrappers):
        raise ModelError(
            f"{_CALLER}: in model '{model.name}' some layers are simulated and others, such as '{annotated[0]}', only "
            "annotated. Annotate all of them in the float model, simulate that, and convert the result."
        )
    simulated = {path: wrapper.export() for path, wrapper in wrappers.items() if path not in annotated}
    settings = {path: wrapper.settings for path, wrapper in wrappers.items()}
    rules = layer_rules(settings, simulated=not annotated)
    handed_on = {path: layer.range() for path, layer in int8_values_of(model).items() if layer.scale > 0}
    return Source(without_wrappers(model), rules, simulated, handed_on)


def find_wrappers(model: Any) -> dict[str, Any]:
    """:class:`Annotate` and :class:`Simulate` layers by the path of the layer they stand for, shared ones once.

    Raises:
        ModelError: One is inside of what is no graph of layers, where it cannot be replaced.
    """
    found = {id(layer): (path, layer) for path, layer in reversed([*graph_layers(model)]) if is_wrapper(layer)}
    for path, layer in sublayers(model):
        if is_wrapper(layer) and id(layer) not in found:
            raise ModelError(
                f"layer '{path}' is annotated, but stands inside a layer or a subclassed model, where it cannot be "
                "replaced. tfmpq handles layers of Sequential and functional models, and of such models inside them."
            )
    return dict(reversed(found.values()))


def int8_values_of(model: Any) -> dict[str, Int8Values]:
    """What rounds the values of layers to int8, by the path of the layer that hands them on."""
    layers = dict(graph_layers(model))
    paths = {id(layer): path for path, layer in layers.items()}
    found = {}
    for layer in layers.values():
        if isinstance(layer, Int8Values):
            read: Any = layer.input
            path = paths.get(id(read._keras_history.operation))
            if path is not None:
                found[path] = layer
    return found


def without_wrappers(model: Any) -> Any:
    """A copy of the float model inside an annotated or simulated one; simulated layers have their simulated weights."""
    simulated: list[tuple[Simulate, Any]] = []

    def expand(layer: Any, copies: Copies) -> list[Any]:
        if isinstance(layer, Annotate):
            return [copies(layer.layer)]
        if isinstance(layer, Simulate):
            parts = [copies(part) for part in (layer.layer, layer.norm) if part is not None]
            simulated.append((layer, parts[0]))
            return parts
        return [] if isinstance(layer, Int8Values) else [copies(layer)]

    result = rebuild(model, expand)
    for wrapper, layer in simulated:
        kernel_of(layer).assign(wrapper.file_weight())
    return result
