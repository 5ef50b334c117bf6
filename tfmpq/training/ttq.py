"""`tfmpq.training.ttq`: trained ternary quantization."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import OptionError
from converters.printable import shown
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.simulation import SimulationSettings
from tfmpq.training.rounding import Rounding, check_rounding
from tfmpq.training.start import check_activation_bits, input_steps, seed_of, start_training
from tfmpq.training.surrogate import LSQ
from tfmpq.training.ternary import BITS, PAPER_THRESHOLD, Ternary

_CALLER = "tfmpq.training.ttq"


def ttq(
    model: Any,
    rep_dataset: object,
    *,
    threshold: float | None = PAPER_THRESHOLD,
    activation_bits: int | None = None,
    rounding: Rounding = "nearest",
    seed: int = 0,
) -> Any:
    """A model whose weights are ``+Wp``, 0 or ``-Wn`` with both learned for every layer, to be trained by ``fit``.

    Source: Zhu et al., "Trained Ternary Quantization", ICLR 2017. In the file a row is two points, +Wp times 0 or 1 and
    Wn times 0 or -1, which are computed side by side (``lowering="parallel"`` or ``"auto"``); or one where that is
    exact. The weights are exact; each point's output is rounded to int8.

    Args:
        model: built Sequential or functional Keras 3 model; not changed. First, last and depthwise layers have 8-bit
            weights with LSQ's learned steps. In an annotated model the annotated layers are trained; bits in their
            settings do not count.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`. Labels come with ``fit``.
        threshold: share of a layer's largest magnitude below which a weight is 0, .05 in the paper; None: each layer's
            own, with the least squared error at the start. It is the better one for trainings of a few epochs.
        activation_bits: as for :func:`tfmpq.training.lg_lsq`, with the gradients of LSQ.
        rounding: in training; ``"stochastic"``: a weight becomes Wp with probability w / Wp.
        seed: of stochastic rounding.

    Returns:
        A model that is not compiled.

    Raises:
        OptionError: A value is out of range.
        ConversionError: As for :func:`tfmpq.keras.simulate`; or a float model has no layers to train at these bits.
    """
    _check_threshold(threshold)
    check_activation_bits(activation_bits)
    check_rounding(rounding, seed)

    chosen = None if threshold is None else float(threshold)

    def make(layer: LayerToTrain) -> Quantizers:
        weight = Ternary(chosen, channel_axes=layer.channel_axes, rounding=rounding, seed=seed_of(layer, seed))
        settings = SimulationSettings(bits=BITS, points=2, algorithm="greedy")
        return Quantizers(settings, weight, input_steps(layer, activation_bits, LSQ, rounding, seed))

    return start_training(model, rep_dataset, BITS, make, _CALLER)


def _check_threshold(value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not 0 <= value < 1:  # nor NaN
        raise OptionError(f"threshold={shown(value)} is out of range; give a number from 0 to below 1, or None.")
