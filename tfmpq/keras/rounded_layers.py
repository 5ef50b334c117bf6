"""Which layers of a model to be simulated hand on values that the file rounds, and to which steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras

from tfmpq.keras.handed_on import rounded_anew, same_values, tensors_of_layers
from tfmpq.keras.measurement import Written, written_layers
from tfmpq.keras.rebuild import Copies, graph_layers
from tfmpq.keras.source import int8_values_of
from tfmpq.keras.wrappers import Annotate


def rounded_layers(model: Any, folded: Mapping[int, Any], written: Written, learned: Collection[str]) -> set[int]:
    """Ids of the layers behind which a simulation rounds values to int8.

    Args:
        model: the annotated model.
        folded: by id of a layer, the normalization that is part of it.
        written: the float model as it is written.
        learned: paths of the layers that are to read at learned steps.
    """
    norms = {id(norm) for norm in folded.values()}
    layers = {path: layer for path, layer in graph_layers(model) if id(layer) not in norms}
    trained = {
        use.float_op
        for path in learned
        for layer in written_layers(path, written.layers, written.skipped)
        for use in layer.uses
    }
    rounded = set(rounded_anew(written.graph.graph, written.steps, trained))
    tensors = tensors_of_layers(written.graph, list(layers))
    taken = {layer.name for layer in layers.values()}
    candidates = {
        id(layer): tensor
        for layer, tensor in ((layers[path], tensor) for path, tensor in tensors.items())
        if tensor in rounded and _gives_floats(layer) and rounding_name(layer) not in taken
    }
    if not candidates:
        return set()

    def expand(layer: Any, copies: Copies) -> list[Any]:
        if id(layer) in norms:
            return []
        if not isinstance(layer, Annotate):
            return [copies(layer)]
        norm = folded.get(id(layer))
        return [copies(layer.layer), *([] if norm is None else [copies(norm)])]

    sample = next(written.data.originals())
    names = [spec.name for spec in written.data.inputs]
    return same_values(model, expand, candidates, written.graph, sample, names)


def rounding_name(layer: Any) -> str:
    """Of the layer that rounds what a layer hands on."""
    return f"{layer.name}_int8"


def set_steps(simulated: Any, written: Written) -> None:
    """Gives what rounds values in a simulation the steps of the file.

    Args:
        simulated: the model.
        written: its float model, with points as weights, as it is written.
    """
    behind = int8_values_of(simulated)
    for path, tensor in tensors_of_layers(written.graph, [path for path, _ in graph_layers(simulated)]).items():
        if path in behind and tensor.name in written.steps:
            behind[path].scale, behind[path].zero_point = written.steps[tensor.name]


def _gives_floats(layer: Any) -> bool:
    """Whether it is used once and gives one tensor of float32."""
    output = getattr(layer, "output", None)
    return isinstance(output, keras.KerasTensor) and output.dtype == "float32"
