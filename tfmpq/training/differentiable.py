"""`tfmpq.training.differentiable`: differentiable quantization, weights fixed and levels learned."""

from __future__ import annotations

from typing import Any, Literal, get_args

from converters.errors import OptionError
from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS
from converters.printable import shown
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.simulation import SimulationSettings
from tfmpq.training.levels import LearnedLevels, least_tolerance
from tfmpq.training.points_start import start_from_points
from tfmpq.training.rounding import Rounding, check_rounding
from tfmpq.training.start import check_activation_bits, check_flag, check_whole, input_steps, seed_of, start_training
from tfmpq.training.surrogate import LSQ

Start = Literal["points", "quantiles"]
_CALLER = "tfmpq.training.differentiable"
_MOST_BITS = 20  # of all points of a row: float32 has 24


def differentiable(
    model: Any,
    rep_dataset: object,
    *,
    bits: int = 4,
    points: int | None = None,
    per_channel: bool = True,
    tolerance: float | None = None,
    start: Start = "points",
    activation_bits: int | None = None,
    rounding: Rounding = "nearest",
    seed: int = 0,
) -> Any:
    """A model whose weights stay as they are, and become the nearest of 2^bits levels that ``fit`` trains.

    Source: Polino et al., "Model compression via distillation and quantization", ICLR 2018, section 4: the levels of a
    tensor are any numbers, trained by gradient descent, and a level's gradient is the sum of those of its weights.
    Its buckets of 256 weights with a scale of their own are rows here, whose scales stay what they are at the start.
    Levels are exported as points, as few as bring each within ``tolerance`` of its place; the model computes with what
    is exported, in training too.

    Weights are not trained, nor do penalties of the model's regularizers count for them: training ends near its start.

    Points of 8 bits together merge into int8 rows, at int8's speed; more points stay operators of their own.

    Args:
        model: built Sequential or functional Keras 3 model; not changed. First, last and depthwise layers have 8-bit
            weights with LSQ's learned steps. In an annotated model the annotated layers are trained, with the bits of
            their settings.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`. Labels come with ``fit``.
        bits: 2..8; levels are 2^bits, and points have as many bits.
        points: most points a row may have, 1..4, of 20 bits together at most. None: see :func:`usual_points`.
        per_channel: whether each row has a scale beside the levels of its tensor.
        tolerance: largest error of an exported level, in units of the largest level of its row; None: what
            ``points`` can reach, .0042 for two points of 4 bits.
        start: ``"points"``: from the codes, steps and biases that :func:`tfmpq.convert` would choose for one point a
            row: levels are those codes; ``"quantiles"``: from the float weights, with levels of the least squared error
            (in the paper they are quantiles), as where rows have no scales.
        activation_bits: as for :func:`tfmpq.training.lg_lsq`, with the gradients of LSQ.
        rounding: in training; ``"stochastic"``: one of the two levels around a weight, the expected one is the weight.
        seed: of stochastic rounding.

    Returns:
        A model that is not compiled.

    Raises:
        OptionError: A value is out of range, or the tolerance cannot be reached with these points.
        ConversionError: As for :func:`tfmpq.keras.simulate`; or a float model has no layers to train at these bits.
    """
    check_whole("bits", bits, MIN_BITS, MAX_BITS)
    if points is not None:
        check_whole("points", points, 1, MAX_POINTS)
    check_activation_bits(activation_bits)
    check_flag("per_channel", per_channel)
    check_rounding(rounding, seed)
    if start not in get_args(Start):
        raise OptionError(f"start={shown(start)}: give 'points' or 'quantiles'.")
    _check_tolerance(tolerance)
    reached_tolerance(bits, points or usual_points(bits), tolerance)  # before any work

    def make(layer: LayerToTrain) -> Quantizers:
        own = layer.settings.bits
        most = points or usual_points(own)
        weight = LearnedLevels(
            own,
            most_points=most,
            per_channel=per_channel,
            tolerance=reached_tolerance(own, most, tolerance, f"layer '{layer.path}': "),
            channel_axes=layer.channel_axes,
            rounding=rounding,
            seed=seed_of(layer, seed),
        )
        settings = SimulationSettings(bits=own, points=most)
        return Quantizers(settings, weight, input_steps(layer, activation_bits, LSQ, rounding, seed))

    student = start_training(model, rep_dataset, bits, make, _CALLER)
    if start == "points" and per_channel:
        start_from_points(student, model, rep_dataset)
    return student


def usual_points(bits: int) -> int:
    """Most points of a row: two, but four at 2 bits, where levels on a grid of two would be a tenth of the largest off.

    Four points of 2 bits are an int8 row, too.
    """
    return 4 if bits == MIN_BITS else 2


def reached_tolerance(bits: int, points: int, tolerance: float | None, where: str = "") -> float:
    """The tolerance that holds for levels of any place.

    Raises:
        OptionError: The points cannot reach the one that is asked for.
    """
    if bits * points > _MOST_BITS:
        raise OptionError(
            f"{where}{points} points of {bits} bits are too fine: scales would be smaller than runtimes hold. Give "
            f"points={_MOST_BITS // bits} or fewer."
        )
    least = least_tolerance(bits, points)
    if tolerance is None or tolerance >= least:
        return least if tolerance is None else float(tolerance)
    most = min(MAX_POINTS, _MOST_BITS // bits)
    enough = [n for n in range(points + 1, most + 1) if tolerance >= least_tolerance(bits, n)]
    what = f"points={enough[0]}" if enough else f"more bits, or a tolerance of {least_tolerance(bits, most):.2g}"
    raise OptionError(
        f"{where}tolerance={tolerance:g} cannot be reached: {points} points of {bits} bits bring levels within "
        f"{least:.2g} of the largest. Give {what}."
    )


def _check_tolerance(value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:  # nor NaN
        raise OptionError(f"tolerance={shown(value)} is out of range; give a number between 0 and 1, or None.")
