"""`tfmpq.keras.simulate`: from settings to a model that computes with points."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import ModelError
from tfmpq.keras.checks import check_model
from tfmpq.keras.folding import norms_behind
from tfmpq.keras.input_values import start_inputs
from tfmpq.keras.int8_values import Int8Values
from tfmpq.keras.kernels import kernel_of
from tfmpq.keras.measurement import measure_layers, measure_ranges
from tfmpq.keras.quantizers import MakeQuantizers, Quantizers
from tfmpq.keras.rebuild import Copies, rebuild
from tfmpq.keras.rounded_layers import rounded_layers, rounding_name, set_steps
from tfmpq.keras.source import find_wrappers
from tfmpq.keras.wrappers import Annotate, Simulate

_CALLER = "tfmpq.keras.simulate"


def simulate(model: Any, rep_dataset: object) -> Any:
    """A model that computes as the converted file will: with points as weights, and activations rounded to int8.

    Every annotated layer becomes a :class:`Simulate` layer of the same name. Train the result as any other model (it
    is not compiled; XLA is off, as the points are chosen by NumPy), save it as ``.keras``, and give it to
    ``tfmpq.convert``, which writes exactly the integers it computes with. Batch normalization that conversion folds
    into an annotated layer becomes part of the :class:`Simulate` layer (its ``norm``).

    The samples are needed for the ranges of the int8 activations, which stay as they are during training, and to choose
    how many points each channel has where its settings give no ``points``: by the error at the layer's output (with
    ``share`` the channels of most error, else the paper's rule).

    Args:
        model: from :func:`tfmpq.keras.annotate`, or with layers from it; not changed.
        rep_dataset: representative inputs, as for ``tfmpq.convert``.

    Raises:
        ModelError: Not a Keras 3 model, subclassed, unbuilt, without annotated layers, already simulated; or a layer
            that conversion does not write as one weight with constant rows.
        ConversionError: As for ``tfmpq.convert``.
    """
    return simulate_with(model, rep_dataset, lambda layer: Quantizers(layer.settings))


def simulate_with(model: Any, rep_dataset: object, make: MakeQuantizers, caller: str = _CALLER) -> Any:
    """As :func:`simulate`, with quantizers that may learn.

    Args:
        model, rep_dataset: as for :func:`simulate`.
        make: makes the quantizers of each annotated layer.
        caller: the user's function, for messages.
    """
    check_model(model, caller)
    annotated = _annotated_layers(model, caller)
    measured, written = measure_layers(model, annotated, rep_dataset)
    folded = {key: norm for key, norm in norms_behind(model).items() if measured[key].is_folded(norm)}
    dropped = {id(norm) for norm in folded.values()}
    made = {id(layer): make(measured[id(layer)].to_train(path, layer)) for path, layer in annotated.items()}
    learned = [path for path, layer in annotated.items() if made[id(layer)].inputs is not None]
    rounded = rounded_layers(model, folded, written, learned)

    def expand(layer: Any, copies: Copies) -> list[Any]:
        if id(layer) in dropped:
            return []
        behind = [Int8Values(name=rounding_name(layer), dtype=layer.dtype_policy)] if id(layer) in rounded else []
        if not isinstance(layer, Annotate):
            return [copies(layer), *behind]
        norm, found, quantizers = folded.get(id(layer)), measured[id(layer)], made[id(layer)]
        wrapper = Simulate(
            copies(layer.layer),
            quantizers.settings,
            quantizer=quantizers.weight,
            input_quantizer=quantizers.inputs,
            norm=None if norm is None else copies(norm),
            flipped=found.flipped(norm),
            rounds_bias=found.has_known_biases(norm),
            name=layer.name,
        )
        return [wrapper, *behind]

    simulated = rebuild(model, expand)
    layers = [*find_wrappers(simulated).values()]
    for layer in layers:
        if layer.quantizer is not None:
            layer.quantizer.start(np.asarray(kernel_of(layer.layer)))
    ranges = measure_ranges(simulated, rep_dataset)
    for layer in layers:
        layer.input_scale, layer.input_zero_point = ranges.steps[id(layer)]
    start_inputs(simulated, [layer for layer in layers if layer.input_quantizer is not None], ranges.written.data)
    set_steps(simulated, ranges.written)  # from here on they round
    return simulated


def _annotated_layers(model: Any, caller: str) -> dict[str, Annotate]:
    wrappers = find_wrappers(model)
    for path, layer in wrappers.items():
        if isinstance(layer, Simulate):
            raise ModelError(
                f"{caller}: model '{model.name}' is simulated already (layer '{path}'). Train or convert it as it is; "
                "to change its settings, start from the annotated model."
            )
    if not wrappers:
        raise ModelError(
            f"{caller}: no layer of model '{model.name}' is annotated. Say first which layers get points: "
            "tfmpq.keras.annotate(model, tfmpq.keras.SimulationSettings(bits=4))"
        )
    return wrappers
