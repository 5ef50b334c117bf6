"""`tfmpq.training.lg_lsq`: learned steps for weights and activations."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from converters.errors import OptionError
from converters.points import MAX_BITS, MIN_BITS
from converters.printable import shown
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.keras.source import find_wrappers
from tfmpq.training.learned_step import LearnedStep
from tfmpq.training.points_start import start_from_points
from tfmpq.training.rounding import Rounding, check_rounding
from tfmpq.training.start import (
    check_activation_bits,
    check_flag,
    check_whole,
    input_steps,
    one_point,
    seed_of,
    start_training,
)
from tfmpq.training.surrogate import Surrogate

Start = Literal["points", "magnitudes"]
_CALLER = "tfmpq.training.lg_lsq"


def lg_lsq(
    model: Any,
    rep_dataset: object,
    *,
    bits: int = 4,
    activation_bits: int | None = None,
    ssg: bool = True,
    asr: bool = True,
    mde: bool = True,
    learn_steps: bool = True,
    per_channel: bool = True,
    start: Start = "points",
    rounding: Rounding = "nearest",
    seed: int = 0,
) -> Any:
    """A model whose layers have one symmetric point a row with a learned step, to be trained by ``fit``.

    Source: LG-LSQ (Lin et al., 2022, arXiv 2202.09009); its gradients are a reconstruction, see
    :mod:`tfmpq.training.surrogate`. With ``ssg``, ``asr`` and ``mde`` off it is LSQ (Esser et al., ICLR 2020); with
    ``learn_steps`` off as well plain rounding with straight-through gradients.

    Give :func:`tfmpq.training.callbacks` to ``fit``, which make the soft rounding of ``asr`` sharper from epoch to
    epoch. :func:`tfmpq.convert` then writes the very integers that the model computes with.

    Args:
        model: built Sequential or functional Keras 3 model; not changed. First, last and depthwise layers have 8-bit
            weights with LSQ's learned steps. In an annotated model (:func:`tfmpq.keras.annotate`) the annotated layers
            are trained, with their bits.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`; a few dozen. Labels come with ``fit``.
        bits: of weights, 2..8; below 8 their codes are all of two's complement, -2^(bits - 1)..2^(bits - 1) - 1.
        activation_bits: of what the layers read, 2..8, with a learned step each; None: int8 as the data have it, as
            in :func:`tfmpq.keras.simulate`. First and last layers always read int8, depthwise ones unless annotated.
        ssg, asr, mde: parts of the method; the latter two for weights.
        learn_steps: whether steps are learned.
        per_channel: whether each row has a step of its own, or each layer.
        start: ``"points"``: from the codes, steps and biases that :func:`tfmpq.convert` would choose for one point a
            row, and steps of activations of least squared error; ``"magnitudes"``: from the float weights, with all
            steps by mean magnitudes (LSQ), as weights have them too where each layer has one step.
        rounding: in training; ``"stochastic"`` for weights and learned activations alike.
        seed: of stochastic rounding.

    Returns:
        A model that is not compiled.

    Raises:
        OptionError: A value is out of range.
        ConversionError: As for :func:`tfmpq.keras.simulate`; or a float model has no layers to train at these bits.
    """
    check_whole("bits", bits, MIN_BITS, MAX_BITS)
    check_activation_bits(activation_bits)
    check_flag("per_channel", per_channel)
    check_rounding(rounding, seed)
    if start not in get_args(Start):
        raise OptionError(f"start={shown(start)}: give 'points' or 'magnitudes'.")
    surrogate = Surrogate(ssg=ssg, asr=asr, mde=mde)
    # Gradients of activations go on to all layers before, and slopes would multiply from layer to layer.
    of_inputs = Surrogate(ssg=ssg, asr=False, mde=False)

    def make(layer: LayerToTrain) -> Quantizers:
        weight = LearnedStep(
            layer.settings.bits,
            per_channel=per_channel,
            full_range=layer.settings.bits < MAX_BITS,  # 8-bit rows stay within +-127 (TensorFlow Lite's specification)
            learn=learn_steps,
            surrogate=surrogate,
            channel_axes=layer.channel_axes,
            rounding=rounding,
            seed=seed_of(layer, seed),
        )
        inputs = input_steps(layer, activation_bits, of_inputs, rounding, seed, least_error=start == "points")
        return Quantizers(one_point(layer.settings.bits), weight, inputs)

    student = start_training(model, rep_dataset, bits, make, _CALLER)
    for wrapper in find_wrappers(student).values():
        if isinstance(wrapper.quantizer, LearnedStep) and wrapper.quantizer.full_range:
            wrapper.quantizer.signs.assign(np.asarray(wrapper.sign()))
    if start == "points" and per_channel:
        start_from_points(student, model, rep_dataset)
    return student
