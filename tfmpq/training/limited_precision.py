"""`tfmpq.training.limited_precision`: weights that are fixed-point numbers."""

from __future__ import annotations

from typing import Any

from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.simulation import SimulationSettings
from tfmpq.training.fixed_point import FixedPoint, FixedPointWeight
from tfmpq.training.start import check_activation_bits, input_steps, start_training
from tfmpq.training.surrogate import LSQ

_CALLER = "tfmpq.training.limited_precision"


def limited_precision(
    model: Any,
    rep_dataset: object,
    *,
    integer_bits: int = 1,
    fraction_bits: int = 7,
    activation_bits: int | None = None,
) -> Any:
    """A model whose weights are fixed-point numbers <IL, FL>, to be trained with :class:`FixedPointUpdates`.

    Source: Gupta et al., "Deep Learning with Limited Numerical Precision", ICML 2015. Compile it with
    ``FixedPointUpdates(optimizer, integer_bits, fraction_bits)``, which keeps the weights on these numbers; with any
    other optimizer they stay float and are rounded to the nearest whenever they are used. All layers are trained so,
    first, last and depthwise ones too. In the file a row is one point up to 8 bits, and two or three from there to 16.

    Args:
        model: built Sequential or functional Keras 3 model; not changed. In an annotated model the annotated layers
            are trained; bits in their settings do not count.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`. Labels come with ``fit``.
        integer_bits: IL, the sign among them.
        fraction_bits: FL; IL + FL is from 2 to 16.
        activation_bits: as for :func:`tfmpq.training.lg_lsq`, of depthwise layers too, with the gradients of LSQ.

    Returns:
        A model that is not compiled.

    Raises:
        OptionError: A value is out of range.
        ConversionError: As for :func:`tfmpq.keras.simulate`.
    """
    check_activation_bits(activation_bits)
    bits, points = FixedPoint(integer_bits, fraction_bits).digits
    settings = SimulationSettings(bits=bits, points=points)

    def make(layer: LayerToTrain) -> Quantizers:
        weight = FixedPointWeight(integer_bits, fraction_bits, channel_axes=layer.channel_axes)
        return Quantizers(settings, weight, input_steps(layer, activation_bits, LSQ, "nearest", 0))

    return start_training(model, rep_dataset, bits, make, _CALLER, keep_sensitive=False)
