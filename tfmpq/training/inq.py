"""`tfmpq.training.inq`: incremental network quantization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.errors import OptionError
from converters.points import MIN_BITS
from converters.printable import shown
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.simulation import SimulationSettings
from tfmpq.training.powers import MOST_BITS, PowersOfTwo, code_bits
from tfmpq.training.rounding import Rounding, check_rounding
from tfmpq.training.start import check_activation_bits, check_flag, check_whole, input_steps, seed_of, start_training
from tfmpq.training.surrogate import LSQ

_PORTIONS = (0.5, 0.75, 0.875, 1.0)  # of the paper's 5 bits
_FINER = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_CALLER = "tfmpq.training.inq"


def inq(
    model: Any,
    rep_dataset: object,
    *,
    bits: int = 5,
    portions: Sequence[float] | None = None,
    per_channel: bool = False,
    least_error: bool = False,
    activation_bits: int | None = None,
    rounding: Rounding = "nearest",
    seed: int = 0,
) -> Any:
    """A model whose weights are frozen at powers of two, part by part, while ``fit`` trains the rest.

    Source: Zhou et al., "Incremental Network Quantization", ICLR 2017. :func:`tfmpq.training.callbacks` freezes the
    largest weights of every layer, up to each portion in turn, at the start of equal shares of the epochs: with four
    portions and eight epochs in the first, third, fifth and seventh. Give each an epoch or more. Frozen weights do not
    change any more. After the last portion only biases and normalizations are trained. In the file a row is one point
    up to 4 bits, and up to two at 5.

    Args:
        model: built Sequential or functional Keras 3 model; not changed. First, last and depthwise layers have 8-bit
            weights with LSQ's learned steps. In an annotated model the annotated layers are trained, with the bits of
            their settings.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`. Labels come with ``fit``.
        bits: 2..5: zero and 2^(bits-2) powers of two with either sign.
        portions: growing shares of the weights, the last one 1. None: see :func:`usual_portions`.
        per_channel: whether each row has its own largest power of two; in the paper each layer has one.
        least_error: whether the largest power is that of the least squared error, where that is lower than the one of
            the largest weight, which it is in the paper.
        activation_bits: as for :func:`tfmpq.training.lg_lsq`, with the gradients of LSQ.
        rounding: of weights when they are frozen.
        seed: of stochastic rounding.

    Returns:
        A model that is not compiled.

    Raises:
        OptionError: A value is out of range.
        ConversionError: As for :func:`tfmpq.keras.simulate`; or a float model has no layers to train at these bits.
    """
    check_whole("bits", bits, MIN_BITS, MOST_BITS)
    check_activation_bits(activation_bits)
    check_flag("per_channel", per_channel)
    check_flag("least_error", least_error)
    check_rounding(rounding, seed)
    chosen = None if portions is None else _checked(portions)

    def make(layer: LayerToTrain) -> Quantizers:
        own = layer.settings.bits
        check_whole(f"layer '{layer.path}': bits", own, MIN_BITS, MOST_BITS)
        weight = PowersOfTwo(
            own,
            portions=chosen or usual_portions(own),
            per_channel=per_channel,
            least_error=least_error,
            channel_axes=layer.channel_axes,
            rounding=rounding,
            seed=seed_of(layer, seed),
        )
        if own == MOST_BITS:
            settings = SimulationSettings(bits=code_bits(own), points=2, algorithm="greedy")
        else:
            settings = SimulationSettings(bits=code_bits(own), points=1)
        return Quantizers(settings, weight, input_steps(layer, activation_bits, LSQ, rounding, seed))

    return start_training(model, rep_dataset, bits, make, _CALLER)


def usual_portions(bits: int) -> tuple[float, ...]:
    """Shares of the weights that are frozen in turn: the paper's four at 5 bits, eight where levels are coarser.

    What is frozen last has nothing left but normalizations to make up for it, so that it should be little.
    """
    return _PORTIONS if bits == MOST_BITS else _FINER


def _checked(portions: Sequence[float]) -> tuple[float, ...]:
    chosen = tuple(portions) if isinstance(portions, Sequence) and not isinstance(portions, str) else ()
    numbers = [p for p in chosen if isinstance(p, (int, float)) and not isinstance(p, bool) and 0 < p <= 1]
    if not chosen or len(numbers) < len(chosen) or list(chosen) != sorted(set(chosen)) or chosen[-1] != 1:
        raise OptionError(
            f"portions={shown(portions)}: give growing shares of the weights, the last one 1, such as "
            "(0.5, 0.75, 0.875, 1.0)."
        )
    return chosen
