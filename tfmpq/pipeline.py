"""The pipeline of a conversion, one line a stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from converters.errors import FileFormatError, ModelError
from converters.frontend.dynamic_file import float_elsewhere
from converters.frontend.float_model import FloatModel
from converters.frontend.loop_bodies import find_loops
from converters.layers.channel_groups import channel_groups
from converters.layers.find import find_layers
from converters.layers.kinds import LEAST_DYNAMIC
from converters.layers.layer import Layer, Skipped
from converters.layers.loop_bodies import skipped_in_loops
from converters.layers.lstm_gates import is_lstm
from converters.layers.restoring import restorable_groups
from converters.layers.shared import in_place, share_layers, unmeasured
from converters.targets import Target, load_target
from tfmpq.activations.losses.culprits import tensor_signs
from tfmpq.activations.losses.dead_channels import dead_channel_notes
from tfmpq.activations.losses.losses import TensorLoss, activation_losses
from tfmpq.activations.losses.rounding import Cure
from tfmpq.activations.mend import Activations, mend_activations
from tfmpq.activations.subject import Case, Subject, activation_names
from tfmpq.choosing import choose_points
from tfmpq.clock import Clock
from tfmpq.given import Given
from tfmpq.loops.given import loop_given, loop_options, other_points, other_rules, stays
from tfmpq.measure.partial import measure_or_merge
from tfmpq.options import Options
from tfmpq.plan.left_layers import refuse_rules_for_left_layers
from tfmpq.plan.limits import table_notes, unseen_inputs, within_limits
from tfmpq.plan.settings import rows_of, settle_layers
from tfmpq.preparation import Prepared
from tfmpq.progress import Progress
from tfmpq.recurrent.choose import choose_lstm_codes
from tfmpq.stages import Found, Network
from tfmpq.suspicion.activations import activation_signs
from tfmpq.suspicion.data import Look
from tfmpq.suspicion.suspicion import Suspicion, announce
from tfmpq.text import plural
from tfmpq.twin import chosen_graphs
from tfmpq.written_loops import PreparedLoop

_KINDS = {  # by activations
    "int8": "convolution, depthwise convolution, dense, transposed convolution with constant weights",
    "float": f"convolution, dense, transposed convolution, table of {LEAST_DYNAMIC:,} constant weights or more",
}
_TABLES = ("GATHER", "EMBEDDING_LOOKUP")
_MOST_REASONS = 5


_CACHE = 4 << 20  # bytes of a float file whose int8 weights stay in a core's own cache from step to step


def prepare_network(given: Given, options: Options, clock: Clock, *, hot: bool = False) -> Prepared:
    """Measures, rounds and weighs the layers of what was given, and of the loops in it.

    Args:
        given: model, data and twin.
        options: of the conversion.
        clock: gets the seconds of each stage.
        hot: whether it runs again and again with its weights in caches.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    begun = begin(given, options, clock, hot=hot)
    start, target, loops, options = begun.start, begun.target, begun.loops, begun.options
    network, mended, found, data = start.network, start.mended, begun.found, given.data
    announce(start.lost, stacklevel=3)
    clock.lap("activations")
    fit, progress = data.fit, Progress(options.progress)
    measured, collected = measure_or_merge(
        found, network, fit, fit.count, options.statistics, seed=options.seed, progress=progress
    )
    clock.lap("statistics")
    weighed, notes = choose_points(measured, network, data, options, clock)
    own = (
        *begun.limited,
        *collected,
        *table_notes(found, target, options.bits),
        *unseen_inputs(measured),
        *start.notes,
    )
    return Prepared(
        start.options,
        given.recipe,
        target,
        network,
        data,
        measured,
        weighed,
        start.skipped,
        (*given.notes, *own, *notes),
        clock.seconds,
        warnings=(*given.look.suspicions, *start.lost),
        record=mended.subject.record,
        losses=start.losses,
        mended=mended.subject.mended,
        loops=loops,
        dynamic=given.twin.dynamic,
    )


@dataclass(frozen=True, eq=False)
class Begun:
    """What there is before the inputs of layers are measured.

    Attributes:
        options: of the conversion.
        target: whose speed counts.
        loops: prepared already.
        start: the network, and what was done for it.
        found: its layers that are measured.
        limited: what is to be said of others.
    """

    options: Options
    target: Target
    loops: Sequence[PreparedLoop]
    start: Start
    found: Sequence[Found]
    limited: Sequence[str]


def begin(given: Given, options: Options, clock: Clock, *, hot: bool = False) -> Begun:
    """Finds the layers of what was given, mends activations, and prepares loops; see :func:`prepare_network`."""
    if given.source.simulated:  # weights were trained for activations as the simulation rounds them
        options = replace(options, equalize="off", ranges="minmax")
    target = replace(load_target(options.target), hot=hot)
    loops, left = _loops(given, options)
    if loops:
        clock.lap("loops")
    start = _start(given, options, target, loops, left)
    found, limited = within_limits(start.layers)
    return Begun(options, target, loops, start, found, limited)


@dataclass(frozen=True, eq=False)
class Start:
    """What there is before anything of the layers is measured.

    Attributes:
        network: the models.
        layers: to be quantized, with their settings.
        skipped: what stays as the twin has it.
        mended: what was done for activations and codes of LSTMs.
        losses: what int8 loses of every activation.
        lost: what the user has to know of that.
        notes: on channels.
        options: of the layers outside of loops.
    """

    network: Network
    layers: Sequence[Found]
    skipped: Sequence[Skipped]
    mended: Activations
    losses: Sequence[TensorLoss]
    lost: Sequence[Suspicion]
    notes: Sequence[str]
    options: Options


def _start(
    given: Given, options: Options, target: Target, loops: Sequence[PreparedLoop], left: Mapping[int, Skipped]
) -> Start:
    """Finds the layers, and mends activations around them."""
    twin, inner = given.twin, [x.loop for x in loops]
    bodies, staying = [*(loop.number for loop in inner), *left], dict.fromkeys(left.values())
    # Channels are put back in order by a GATHER, where the target has it.
    groups = restorable_groups if target.supports("GATHER", "") else channel_groups
    network = Network(given.float_model, twin.stock, twin.model, twin.base, groups(twin.base.graph))
    layers, skipped = _find(network, {}, bodies, dynamic=twin.dynamic)
    if not any(is_lstm(op) for op in network.base.graph.ops):
        _refuse_nothing(given, layers, loops, [*skipped, *staying])
    recipe = other_rules(given.recipe, inner, [layer.name for layer in layers])
    options = replace(options, points=other_points(options.points, inner))
    refuse_rules_for_left_layers(recipe, layers, [*skipped, *staying])
    settle = partial(settle_layers, recipe=recipe, options=options, simulated=given.source.simulated, target=target)
    settled = settle(layers, activations=activation_names(twin.model))
    case = Case(given.float_model, twin.model, twin.stock, given.data, options, recipe, target, rows_of(settled))
    case = replace(case, measured=twin.ranges, handed_on=given.source.handed_on)
    if twin.dynamic:  # float activations lose nothing
        mended, losses, lost = Activations(Subject(twin.model), twin.base), (), ()
    else:
        mended = mend_activations(case)
        losses = _losses(mended, case)
        lost = _lost(mended, case, given.look, losses)
    mended = choose_lstm_codes(mended, case)
    if mended.base is not twin.base:
        network = Network(given.float_model, twin.stock, mended.subject.model, mended.base, groups(mended.base.graph))
        layers, skipped = _find(network, _written(layers), bodies, dynamic=twin.dynamic)
        settled = settle(layers, activations=activation_names(twin.model))
    skipped = [*skipped, *staying]
    if all(entry.kind != "codes" for entry in mended.subject.mended):
        _refuse_nothing(given, layers, loops, skipped)
    network = replace(network, groups=in_place(network.groups, layers))
    dead = () if twin.dynamic else dead_channel_notes(case)
    return Start(network, settled, skipped, mended, losses, lost, dead, options)


def _loops(given: Given, options: Options) -> tuple[list[PreparedLoop], dict[int, Skipped]]:
    """The loops whose bodies are converted, and those that stay as they are, by number of the body."""
    twin = given.twin
    found, left = find_loops(twin.model, given.float_model.source)
    chosen = chosen_graphs(given.float_model, twin.model)
    prepared: list[PreparedLoop] = []
    for loop in (loop for loop in found if loop.number in chosen):
        own = loop_options(options, loop)
        try:
            body, steps = loop_given(loop, given, own)
        except (FileFormatError, ModelError) as error:
            left[loop.number] = stays(loop, error)
            continue
        hot = len(loop.step.flatbuffer) <= _CACHE
        prepared.append(PreparedLoop(loop, steps, prepare_network(body, own, Clock(), hot=hot)))
    return prepared, left


def _lost(mended: Activations, case: Case, look: Look, losses: Sequence[TensorLoss]) -> tuple[Suspicion, ...]:
    """What the user has to know of the int8 file that layers are replaced in."""
    found = activation_signs(mended.subject.model, mended.base.graph, look.samples, look.predictions)
    subject = mended.subject
    clipped = {t.name for t in subject.model.graph.inputs}.intersection(subject.ranges)  # on purpose
    if any(rows.reads for rows in case.rows.values()):
        clipped.update(name for name, owner in (subject.owners or {}).items() if owner in subject.ranges)
    signs = tensor_signs([loss for loss in losses if loss.tensor not in clipped], found)
    return (*mended.subject.warnings, *found, *signs)


def _losses(mended: Activations, case: Case) -> tuple[TensorLoss, ...]:
    """What int8 loses of each activation of the model that is rounded; only told, so on samples held out for that."""
    options = case.options
    equalized: Sequence[Cure] = ["equalize"] if options.equalize == "auto" else []
    tried: Sequence[Cure] = [*equalized, "range"] if options.ranges == "auto" else equalized
    return activation_losses(mended.subject.model, mended.base.model, case.data.held_out, tried=tried)


def _written(layers: Sequence[Layer]) -> dict[str, str]:
    """Name of what an operator writes -> its layer."""
    return {use.float_op.outputs[0].name: layer.name for layer in layers for use in layer.uses}


def _find(
    network: Network, known: Mapping[str, str], bodies: Collection[int], *, dynamic: bool
) -> tuple[list[Layer], list[Skipped]]:
    """The layers of a network, and what stays as the twin has it.

    Args:
        network: to be looked through.
        known: of layers that have a name already, what they write -> the name.
        bodies: numbers of the graphs that are converted on their own, or are known to stay.
        dynamic: whether activations are float.
    """
    float_model: FloatModel = network.float_model
    names = replace(float_model.names, by_output={**float_model.names.by_output, **known})
    model, base = network.model, network.base
    if dynamic:
        graphs = chosen_graphs(float_model, model)
        stays = float_elsewhere(model, graphs)
        found, skipped = find_layers(model.graph, base.graph, names=names, stays=stays)
        layers, left = share_layers(found, base.model)
        skipped = [*skipped, *left, *unmeasured(layers, base.model, set(graphs).difference(bodies))]
    else:
        layers, skipped = find_layers(model.graph, base.graph, names=names)
        skipped = [*(s for s in skipped if s.op != "WHILE"), *skipped_in_loops(model, bodies)]
    return layers, skipped


def _refuse_nothing(
    given: Given, layers: Sequence[Layer], loops: Sequence[PreparedLoop], skipped: Sequence[Skipped]
) -> None:
    if layers or loops:
        return
    kinds = _KINDS["float" if given.twin.dynamic else "int8"]
    raise ModelError(
        f"{given.float_model.source} has no layer that tfmpq can quantize ({kinds}).{_reasons(skipped)} Use "
        "TFLiteConverter for it."
    )


def _reasons(skipped: Sequence[Skipped]) -> str:
    """Why some operators are no layers: tables first, as float activations may find layers in them."""
    told = sorted(skipped, key=lambda s: s.op not in _TABLES)
    reasons = "".join(f" {s.name} ({s.op}): {s.reason}." for s in told[:_MOST_REASONS])
    more = len(told) - _MOST_REASONS
    return f"{reasons} Not listed: {plural(more, 'further operator')}." if more > 0 else reasons
