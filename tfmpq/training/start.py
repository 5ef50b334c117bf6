"""From a float model to one that trains with a method's quantizers: what all methods have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.errors import ModelError, OptionError
from converters.points import MAX_BITS, MIN_BITS
from converters.printable import shown
from tfmpq.keras.annotation import annotate
from tfmpq.keras.checks import check_model
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.keras.simulation import simulate_with
from tfmpq.keras.source import find_wrappers
from tfmpq.keras_marks import is_annotated_or_simulated
from tfmpq.simulation import SimulationSettings
from tfmpq.training.learned_step import LearnedStep
from tfmpq.training.rounding import Rounding
from tfmpq.training.surrogate import LSQ, Surrogate

HIGH_BITS = 8  # of first and last layers, as in all papers, and of depthwise ones, as in tfmpq.convert


def start_training(
    model: Any,
    rep_dataset: object,
    bits: int,
    make: Callable[[LayerToTrain], Quantizers],
    caller: str,
    *,
    keep_sensitive: bool = True,
) -> Any:
    """A copy of the model in which layers compute with quantizers.

    A float model gets them in all layers that can have points, but for the sensitive ones: the first, the last and
    depthwise layers have 8 bits, as they hold few bytes and much of the error. Of an annotated model the annotated
    layers get them, each with the bits of its settings.

    Args:
        model: built Sequential or functional Keras 3 model, float or from :func:`tfmpq.keras.annotate`.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`.
        bits: of layers that are not annotated.
        make: the method: quantizers of one layer.
        caller: the user's function, for messages.
        keep_sensitive: whether sensitive layers of a float model have 8 bits and learned steps instead.

    Raises:
        ModelError: A float model has sensitive layers only.
        ConversionError: As for :func:`tfmpq.keras.simulate`.
    """
    check_model(model, caller)
    if is_annotated_or_simulated(model):
        return simulate_with(model, rep_dataset, make, caller)
    annotated = annotate(model, SimulationSettings(bits=bits, points=1))

    lowered = []

    def chosen(layer: LayerToTrain) -> Quantizers:
        if keep_sensitive and (layer.is_end or layer.is_depthwise):
            return eight_bits(layer)
        lowered.append(layer.path)
        return make(layer)

    student = simulate_with(annotated, rep_dataset, chosen, caller)
    if not lowered and bits < HIGH_BITS:
        raise ModelError(
            f"{caller}: model {shown(model.name)} has no layer to train with {bits} bits: all that have weights are "
            f"first, last or depthwise ones, which stay at {HIGH_BITS} bits. Choose layers with tfmpq.keras.annotate; "
            "all that it names are trained with the bits it gives them."
        )
    return student


def eight_bits(layer: LayerToTrain) -> Quantizers:
    """Learned steps at 8 bits, for layers that a method leaves at high precision."""
    return Quantizers(one_point(HIGH_BITS), LearnedStep(HIGH_BITS, channel_axes=layer.channel_axes, surrogate=LSQ))


def one_point(bits: int) -> SimulationSettings:
    """Settings of a layer whose rows have one point each."""
    return SimulationSettings(bits=bits, points=1)


def seed_of(layer: LayerToTrain, seed: int) -> int:
    """A seed of the layer's own."""
    return int(np.random.SeedSequence([seed, *layer.path.encode()]).generate_state(1)[0] % 2**31)


def input_steps(
    layer: LayerToTrain,
    bits: int | None,
    surrogate: Surrogate,
    rounding: Rounding,
    seed: int,
    *,
    least_error: bool = True,
) -> LearnedStep | None:
    """A quantizer with a learned step for what a layer reads; None in first and last ones, and without ``bits``."""
    if bits is None or layer.is_end:
        return None
    signed = not layer.reads_unsigned
    return LearnedStep(
        bits,
        signed=signed,
        least_error=least_error,
        surrogate=surrogate,
        rounding=rounding,
        seed=seed_of(layer, seed) ^ 1,
    )


def check_activation_bits(bits: object) -> None:
    """Raises an :class:`OptionError` unless ``bits`` is None or from 2 to 8."""
    if bits is not None:
        check_whole("activation_bits", bits, MIN_BITS, MAX_BITS)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raises an :class:`OptionError` unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise OptionError(f"{name}={shown(value)} is out of range; give a whole number from {low} to {high}.")


def check_flag(name: str, value: object) -> None:
    """Raises an :class:`OptionError` unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise OptionError(f"{name}={shown(value)}: give True or False.")


def quantizers_of(model: Any) -> dict[str, Any]:
    """The weight and input quantizers of a model in training, by path of their layer and what they are for."""
    found = {}
    for path, layer in find_wrappers(model).items():
        for part in ("quantizer", "input_quantizer"):
            quantizer = getattr(layer, part, None)
            if quantizer is not None:
                found[f"{path}/{part}"] = quantizer
    return found
