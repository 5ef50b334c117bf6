"""`tfmpq.training.ttq`: trained ternary quantization."""

from __future__ import annotations

from typing import Any

from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.simulation import SimulationSettings
from tfmpq.training.rounding import Rounding, check_rounding
from tfmpq.training.start import check_activation_bits, input_steps, seed_of, start_training
from tfmpq.training.surrogate import LSQ
from tfmpq.training.ternary import BITS, Ternary

_CALLER = "tfmpq.training.ttq"


def ttq(
    model: Any,
    rep_dataset: object,
    *,
    activation_bits: int | None = None,
    rounding: Rounding = "nearest",
    seed: int = 0,
) -> Any:
    """A model whose weights are ``+Wp``, 0 or ``-Wn`` with both learned for every layer, to be trained by ``fit``.

    Source: Zhu et al., "Trained Ternary Quantization", ICLR 2017. In the file a row is two points, +Wp times 0 or 1 and
    Wn times 0 or -1, which are computed side by side (``lowering="parallel"`` or ``"auto"``); or one where that is
    exact. The weights are exact; each point's output is rounded to int8.

    Args:
        model: built Sequential or functional Keras 3 model; not changed. First and last layers have 8-bit weights. In
            an annotated model the annotated layers are trained; bits in their settings do not count.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`. Labels come with ``fit``.
        activation_bits: as for :func:`tfmpq.training.lg_lsq`, with the gradients of LSQ.
        rounding: in training; ``"stochastic"``: a weight becomes Wp with probability w / Wp.
        seed: of stochastic rounding.

    Returns:
        A model that is not compiled.

    Raises:
        OptionError: A value is out of range.
        ConversionError: As for :func:`tfmpq.keras.simulate`.
    """
    check_activation_bits(activation_bits)
    check_rounding(rounding, seed)

    def make(layer: LayerToTrain) -> Quantizers:
        weight = Ternary(channel_axes=layer.channel_axes, rounding=rounding, seed=seed_of(layer, seed))
        settings = SimulationSettings(bits=BITS, points=2, algorithm="greedy")
        return Quantizers(settings, weight, input_steps(layer, activation_bits, LSQ, rounding, seed))

    return start_training(model, rep_dataset, BITS, make, _CALLER)
