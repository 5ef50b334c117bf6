"""From measured layers to weighed ones: evidence, points, and what they are worth at the network's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.errors import ModelError
from tfmpq.activations.subject import activation_names
from tfmpq.clock import Clock
from tfmpq.data.holdout import Split
from tfmpq.measure.evidence import Gatherer
from tfmpq.options import Options
from tfmpq.plan.limits import within_limits
from tfmpq.plan.parameters import choose_parameters
from tfmpq.plan.rounding import first_round, round_layers
from tfmpq.plan.settings import settle_layers
from tfmpq.plan.weighing import weigh_layers
from tfmpq.preparation import Prepared
from tfmpq.progress import Progress
from tfmpq.recipe.rules import Recipe
from tfmpq.stages import Found, Measured, Network, Weighed


def choose_points(
    measured: Sequence[Measured], network: Network, data: Split, options: Options, clock: Clock
) -> tuple[list[Weighed], tuple[str, ...]]:
    """Rounds the layers that are not to stay as stock has them, and weighs them.

    Args:
        measured: all layers.
        network: they are in.
        data: to fit to and to judge by.
        options: of the conversion.
        clock: gets the seconds of each stage.

    Returns:
        The layers, and notes on what was chosen and could not be measured.
    """
    progress, fit = Progress(options.progress), data.fit
    chosen = [layer for layer in measured if layer.settings.keep is None]
    gatherer = Gatherer(chosen, network, fit, fit.count, seed=options.seed)
    evidence, parameters = choose_parameters(chosen, gatherer.for_algorithms(first_round), network, fit)
    rounded = round_layers(chosen, evidence, progress)
    clock.lap("points")
    weighed, notes = weigh_layers(
        rounded,
        network,
        data,
        measure=options.sensitivity,
        gradients=lambda: gatherer.gradients,
        progress=progress,
    )
    clock.lap("sensitivity")
    return weighed, (*parameters, *(note for layer in weighed for note in layer.notes), *notes)


def points_again(prepared: Prepared, options: Options) -> Prepared:
    """The same network and activations with points by other options.

    Args:
        prepared: of a model without loops and without points that were given.
        options: ``bits``, ``algorithm``, ``max_points``, ``lowering``, ``optimize``, ``sensitivity``, ``recipe`` and
            ``budget`` may differ from those that it was prepared with.

    Raises:
        ModelError: The model has loops, whose bodies are converted on their own.
        ConversionError: As :func:`tfmpq.convert` with these options.
    """
    if prepared.loops:
        raise ModelError("the model runs loops, whose layers are prepared on their own: convert it once more instead.")
    clock = Clock({name: s for name, s in prepared.seconds.items() if name not in ("points", "sensitivity")})
    found, limited = settled_again(prepared, options)
    measured = [replace(old, settings=new.settings) for old, new in zip(prepared.measured, found, strict=True)]
    weighed, notes = choose_points(measured, prepared.network, prepared.data, options, clock)
    return replace(
        prepared,
        options=options,
        recipe=options.recipe or Recipe([]),
        measured=measured,
        weighed=weighed,
        notes=(*limited, *notes),
        seconds=clock.seconds,
    )


def settled_again(prepared: Prepared, options: Options) -> tuple[list[Found], tuple[str, ...]]:
    """What other options say of the layers, and notes on what the runtime does not allow; see :func:`points_again`."""
    return within_limits(
        settle_layers(
            [layer.layer for layer in prepared.measured],
            recipe=options.recipe or Recipe([]),
            options=options,
            simulated={},
            target=prepared.target,
            activations=activation_names(prepared.network.model),
        )
    )
