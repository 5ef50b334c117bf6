"""`tfmpq.convert` and `tfmpq.prepare`: the pipeline, one line a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from converters.errors import ModelError, OptionError
from converters.frontend.dynamic_file import float_elsewhere
from converters.frontend.float_model import FloatModel
from converters.layers.channel_groups import channel_groups
from converters.layers.find import find_layers
from converters.layers.layer import Layer, Skipped
from converters.layers.loop_bodies import skipped_in_loops
from converters.layers.restoring import restorable_groups
from converters.layers.shared import in_place, share_layers, unmeasured
from converters.targets import load_target
from tfmpq.activations.losses.culprits import tensor_signs
from tfmpq.activations.losses.dead_channels import dead_channel_notes
from tfmpq.activations.losses.losses import TensorLoss, activation_losses
from tfmpq.activations.losses.rounding import Cure
from tfmpq.activations.mend import Activations, mend_activations
from tfmpq.activations.subject import Case, Subject, activation_names
from tfmpq.given import read_given
from tfmpq.measure.evidence import Gatherer, measure_inputs
from tfmpq.options import OF_A_FILE, Options, takes_options
from tfmpq.plan.left_layers import refuse_rules_for_left_layers
from tfmpq.plan.limits import table_notes, unseen_inputs, within_limits
from tfmpq.plan.rounding import first_round, round_layers
from tfmpq.plan.settings import rows_of, settle_layers
from tfmpq.plan.weighing import weigh_layers
from tfmpq.preparation import Clock, Prepared
from tfmpq.progress import Progress
from tfmpq.recurrent.choose import choose_lstm_codes
from tfmpq.result import ConversionResult
from tfmpq.signatures import Part, data_by_signature, joined, signature_graphs
from tfmpq.stages import Network
from tfmpq.suspicion.activations import activation_signs
from tfmpq.suspicion.data import Look
from tfmpq.suspicion.suspicion import Suspicion, announce
from tfmpq.twin import chosen_graphs

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tfmpq.options import OptionValues

_BEFORE_FILES = [f.name for f in fields(Options) if f.name not in OF_A_FILE]


@takes_options()
def convert(model: object, rep_dataset: object, **options: Unpack[OptionValues]) -> ConversionResult:
    """Converts a float model to a .tflite file with multipoint low-bit weights, and int8 or float activations.

    Args:
        model: Keras 3 or tf_keras model, path of a .keras, .h5 or float .tflite file or a SavedModel directory, or the
            bytes of a float .tflite file. A Keras model annotated or simulated by :mod:`tfmpq.quantize_config` (tfmot)
            or :mod:`tfmpq.keras` brings the settings, or the points, of its layers along.
        rep_dataset: representative inputs as for TFLiteConverter (a function that returns an iterator), or an array,
            list, generator function or tf.data.Dataset; see :func:`tfmpq.data.representative.check_samples`. 100
            samples are usual; :func:`tfmpq.image_views` makes more of them. Of 32 or more, every
            eighth only serves to find what rounding costs, and every eighth to measure the result. With float
            activations also a dict of such data by signature, for a .tflite file with several.
        **options: see :class:`tfmpq.Options`.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    chosen = Options.of(options)
    known = signature_graphs(model) if chosen.activations == "float" else {}
    data = data_by_signature(rep_dataset, known, chosen.signature)
    if not data:
        return _prepare(model, rep_dataset, chosen).write(chosen)
    parts: list[Part] = []
    notes = []
    for key, own in data.items():
        former = next((part.key for part in parts if known[key] in part.graphs), None)
        if former is not None:
            notes.append(f"signature {key!r} has weights of {former!r}, and so the points that its samples gave them")
            continue
        prepared = _prepare(model, own, chosen, key)
        parts.append(Part.of(key, prepared, prepared.write(chosen)))
    return joined(parts, notes)


@takes_options(*_BEFORE_FILES)
def prepare(model: object, rep_dataset: object, **options: Any) -> Prepared:
    """The slow part of :func:`convert`, whose ``finish`` then writes files for as many budgets as wanted.

    Args:
        model, rep_dataset: as for :func:`convert`.
        **options: see :class:`tfmpq.Options`; ``finish`` takes the others.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    chosen = Options.of(options, _BEFORE_FILES)
    known = signature_graphs(model) if chosen.activations == "float" else {}
    data = data_by_signature(rep_dataset, known, chosen.signature)
    if len(data) > 1:
        raise OptionError("prepare takes data of one signature; convert takes those of several.")
    key, own = next(iter(data.items()), (None, rep_dataset))
    return _prepare(model, own, chosen, key)


def _prepare(model: object, rep_dataset: object, options: Options, key: str | None = None) -> Prepared:
    target = load_target(options.target)
    progress, clock, seed = Progress(options.progress), Clock(), options.seed
    given = read_given(model, rep_dataset, options, clock, key)
    if given.source.simulated:  # weights were trained for activations as the simulation rounds them
        options = replace(options, equalize="off", ranges="minmax")
    data, twin, recipe = given.data, given.twin, given.recipe
    # Channels are put back in order by a GATHER, where the target has it.
    groups = restorable_groups if target.supports("GATHER", "") else channel_groups
    network = Network(given.float_model, twin.stock, twin.model, twin.base, groups(twin.base.graph))
    settle = partial(settle_layers, recipe=recipe, options=options, simulated=given.source.simulated, target=target)
    layers, skipped = _find(network, {}, dynamic=twin.dynamic)
    refuse_rules_for_left_layers(recipe, layers, skipped)
    network = replace(network, groups=in_place(network.groups, layers))
    settled = settle(layers, activations=activation_names(twin.model))
    case = Case(given.float_model, twin.model, twin.stock, data, options, recipe, target, rows_of(settled), twin.ranges)
    if twin.dynamic:  # float activations lose nothing
        mended, losses, lost = Activations(Subject(twin.model), twin.base), (), ()
    else:
        mended = mend_activations(case)
        losses = _losses(mended, case)
        lost = _lost(mended, case, given.look, losses)
    mended = choose_lstm_codes(mended, case)
    announce(lost, stacklevel=3)
    clock.lap("activations")
    if mended.base is not twin.base:
        network = Network(given.float_model, twin.stock, mended.subject.model, mended.base, groups(mended.base.graph))
        layers, skipped = _find(network, _written(layers), dynamic=twin.dynamic)
        network = replace(network, groups=in_place(network.groups, layers))
        settled = settle(layers, activations=activation_names(twin.model))
    found, limited = within_limits(settled)
    fit = data.fit
    measured = measure_inputs(found, network, fit, fit.count, seed=seed, progress=progress)
    clock.lap("statistics")
    chosen = [layer for layer in measured if layer.settings.keep is None]
    gatherer = Gatherer(chosen, network, fit, fit.count, seed=seed)
    evidence = gatherer.for_algorithms(first_round)
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
    own = (
        *limited,
        *table_notes(found, target, options.bits),
        *unseen_inputs(measured),
        *(() if twin.dynamic else dead_channel_notes(case)),
    )
    return Prepared(
        options,
        recipe,
        target,
        network,
        data,
        measured,
        weighed,
        skipped,
        (*given.notes, *own, *(note for layer in weighed for note in layer.notes), *notes),
        clock.seconds,
        warnings=(*given.look.suspicions, *lost),
        record=mended.subject.record,
        losses=losses,
        mended=mended.subject.mended,
    )


def _lost(mended: Activations, case: Case, look: Look, losses: Sequence[TensorLoss]) -> tuple[Suspicion, ...]:
    """What the user has to know of the int8 file that layers are replaced in."""
    found = activation_signs(mended.subject.model, mended.base.graph, look.samples, look.predictions)
    clipped = {t.name for t in mended.subject.model.graph.inputs}.intersection(mended.subject.ranges)  # on purpose
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
    network: Network, known: Mapping[str, str], *, dynamic: bool = False
) -> tuple[Sequence[Layer], Sequence[Skipped]]:
    """The layers of a network; ``known``: of those that have a name already, what they write -> the name."""
    float_model: FloatModel = network.float_model
    names = replace(float_model.names, by_output=known)
    model, base = network.model, network.base
    if dynamic:
        graphs = chosen_graphs(float_model, model)
        stays = float_elsewhere(model, graphs)
        found, skipped = find_layers(model.graph, base.graph, names=names, stays=stays)
        layers, left = share_layers(found, base.model)
        skipped = [*skipped, *left, *unmeasured(layers, base.model, graphs)]
    else:
        layers, skipped = find_layers(model.graph, base.graph, names=names)
        skipped = [*(s for s in skipped if s.op != "WHILE"), *skipped_in_loops(model)]
    if not layers:
        reasons = "".join(f" {s.name} ({s.op}): {s.reason}." for s in skipped[:5])
        raise ModelError(
            f"{float_model.source} has no layer that tfmpq can quantize (convolution, depthwise convolution, dense, "
            f"transposed convolution with constant weights).{reasons} Use TFLiteConverter for it."
        )
    return layers, skipped
