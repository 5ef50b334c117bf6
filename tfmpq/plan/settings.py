"""What holds for each layer: defaults, rules, points that come with the model; and what cannot be, before any work."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from converters.errors import LoweringError, ModelError, OptionError, RecipeError
from converters.layers.layer import Layer
from converters.lowering.forms import FORMS, only_form
from converters.lowering.lookup import can_look_up_int4
from converters.lowering.split import INT4_BITS, can_store_int4
from converters.points import INT8_LIMIT, MultipointWeight, grid_limits
from converters.targets import Target
from tfmpq.activations.subject import Range, RowFormat
from tfmpq.algorithms import ALGORITHMS
from tfmpq.options import Optimize, Options
from tfmpq.recipe.budgets import ExtraBits
from tfmpq.recipe.rules import GIVEN, LayerSettings, Recipe
from tfmpq.simulation.source import SimulatedLayer
from tfmpq.stages import Found

SMALL_LAYER = 0.01  # of the model's weights; in parallel files 8 bits below that cut MobileNetV2's KL by a fifth
LARGE_LAYER = 0.1  # of the model's weights: too many bytes to leave a first or last layer at 8 bits unasked
_BY_SIZE = ("auto", "split", "compact")
INT8_WHERE_FASTER = ("auto", "split")  # what INT4 would slow down stands as int8 in these


def rows_of(settled: Sequence[Found]) -> dict[str, RowFormat]:
    """What is known of rows before they are chosen, by name of what each operator writes."""
    return {
        op.outputs[0].name: RowFormat(
            8 if entry.settings.keep else entry.settings.bits, entry.given is not None, _trained_ranges(entry)
        )
        for entry in settled
        for op in (use.float_op for use in entry.layer.uses)
    }


def _trained_ranges(entry: Found) -> tuple[Range, ...]:
    reads = entry.given.reads if isinstance(entry.given, SimulatedLayer) else None
    return () if reads is None else reads.int8_ranges()


def settle_layers(
    layers: Sequence[Layer],
    *,
    recipe: Recipe,
    options: Options,
    simulated: Mapping[str, SimulatedLayer],
    target: Target,
    activations: Collection[str] = (),
) -> list[Found]:
    """The layers with their settings.

    Args:
        layers: of the model, in graph order.
        recipe: rules of the model itself and of the caller.
        options: of the conversion; ``points`` among them.
        simulated: what comes with the model, by Keras path.
        target: what the file is for.
        activations: names that rules for activations may match.

    Raises:
        LoweringError: A layer's points cannot merge as its lowering needs, or the target lacks an operator.
        ModelError: A simulated layer is not in the file.
        OptionError: Points are given for a layer that is not in the model, or that cannot have them.
        RecipeError: A rule matches nothing, or asks for a form that its layer cannot have.
    """
    settings = resolve_settings(
        layers,
        recipe,
        bits=options.bits,
        max_points=options.max_points,
        algorithm=options.algorithm,
        lowering=options.lowering,
        optimize=options.optimize,
        int4=FORMS["split"].lacking(target) is None,
        own=FORMS["own operator"].lacking(target) is None,
        lookups=target.supports("EMBEDDING_LOOKUP", "INT4", activation="INT32"),
        activations=activations,
    )
    if options.budget == ExtraBits(0.0):
        settings = {name: _without_second(chosen) for name, chosen in settings.items()}
    check_lowerings(layers, settings, recipe, target)
    given: dict[str, SimulatedLayer | MultipointWeight] = dict(match_simulated(layers, simulated, settings))
    for name, weight in options.points.items():
        settings[name] = _given_settings(layers, name, weight, settings)
        given[name] = weight
    return [Found(layer, settings[layer.name], given.get(layer.name)) for layer in layers]


def resolve_settings(
    layers: Sequence[Layer],
    recipe: Recipe,
    *,
    bits: int,
    max_points: int | None,
    algorithm: str,
    lowering: str,
    optimize: Optimize = "file",
    int4: bool = True,
    own: bool = False,
    lookups: bool = True,
    activations: Collection[str] = (),
) -> dict[str, LayerSettings]:
    """Settings of every layer.

    First, last, depthwise and small layers default to 8 bits: few bytes, much error. Where the size of the file is at
    stake (``auto``, ``split``, ``compact``) first and last layers with many weights do not, as a classifier may hold a
    third of them, and neither do small layers that can be stored as INT4: a second point for all rows is the same and
    has to earn its bytes. In ``auto`` and ``split``, layers that the file holds as int8 whatever their points have 8
    bits too, unless it is to be small as a download. Tables, of which a lookup reads a few rows, are no first or last
    layers, and have the form and the algorithm of tables whatever is asked for. Unless a rule says otherwise, 8-bit
    rows among lower ones have one point: 8-bit activations could not use a second.

    Args:
        layers: of the model, in graph order.
        recipe: rules; what they set holds.
        bits, max_points, algorithm, lowering, optimize: as of :class:`tfmpq.Options`.
        int4: whether the target runs INT4 weights.
        own: whether it keeps them in convolutions too; ``auto`` is then the form of that name wherever it can be.
        lookups: whether it looks up rows of INT4 tables.
        activations: names that rules for activations may match.
    """
    recipe.check([layer.name for layer in layers], ALGORITHMS, activations=activations)
    total = sum(layer.weight.size for layer in layers)
    result = {}
    for layer in layers:
        if layer.kind.table or layer.lookups:
            asked = LayerSettings(bits, 0, algorithm, lowering)
            result[layer.name] = _of_table(layer, recipe.resolve(layer.name, asked), max_points, bits, int4 and lookups)
            continue
        share = layer.weight.size / total
        asked_for = recipe.resolve(layer.name, LayerSettings(bits, 0, algorithm, lowering))
        kept = own and asked_for.lowering == "auto" and FORMS["own operator"].unsuitable(layer, bits) is None
        by_size, stored = asked_for.lowering in _BY_SIZE, kept or can_store_int4(layer, layer.channels, bits)
        small = share < SMALL_LAYER and not (by_size and stored)
        end = (layer.is_first or layer.is_last) and not (by_size and share >= LARGE_LAYER)
        # Points that a rule counts, and bits that no file stores, are asked for.
        free = optimize == "file" and asked_for.max_points == 0 and bits <= INT4_BITS
        int8 = asked_for.lowering in INT8_WHERE_FASTER and free and not (stored and int4)
        tender = end or layer.kind.per_channel or small or int8
        settings = recipe.resolve(layer.name, LayerSettings(8 if tender else bits, 0, algorithm, lowering))
        if settings.max_points == 0:
            default = 1 if settings.bits == 8 else 2
            asked = max_points is not None and (settings.bits < 8 or bits == 8)
            settings = replace(settings, max_points=max_points if asked else default)
        keeps = own and settings.lowering == "auto" and may_merge(settings)
        if keeps and FORMS["own operator"].unsuitable(layer, settings.bits) is None:
            settings = replace(settings, lowering="own operator")
        result[layer.name] = settings
    return result


def _of_table(layer: Layer, asked: LayerSettings, max_points: int | None, bits: int, int4: bool) -> LayerSettings:
    """Settings of a table, alone or tied to a dense layer: few points, as each is a lookup more.

    Rows that no operator takes as INT4 have 8 bits: they would stand in the file as int8 anyway.
    """
    form = only_form(layer)
    assert form is not None, layer.name
    stored = (
        can_look_up_int4(layer, asked.bits) if layer.kind.table else can_store_int4(layer, layer.channels, asked.bits)
    )
    low = asked.bits if stored and int4 else 8
    points = asked.max_points or (1 if low == 8 else min(max_points or 2, 2))
    algorithm = "radix" if layer.kind.table else asked.algorithm
    return replace(asked, bits=low, max_points=points, algorithm=algorithm, lowering=form.name)


def check_lowerings(
    layers: Sequence[Layer], settings: Mapping[str, LayerSettings], recipe: Recipe, target: Target
) -> None:
    """Refuses lowerings that no choice of points can make possible.

    Raises:
        LoweringError: A layer's points cannot merge as its lowering needs, or the target lacks an operator.
        RecipeError: A rule asks for a form that its layer cannot have.
    """
    for layer in layers:
        chosen = settings[layer.name]
        form = FORMS.get(chosen.lowering)  # none for "auto"
        if chosen.keep or form is None:
            continue
        rule = _rule(recipe, layer.name)
        asked = f"{rule}lowering={chosen.lowering!r} for layer {layer.name!r} ({layer.uses[0].float_op.name})"
        if form.merges_rows and chosen.max_points > 1 and not may_merge(chosen):
            raise LoweringError(
                f"{asked}: {chosen.max_points} points of {chosen.bits} bits by algorithm {chosen.algorithm!r} do not "
                "merge into int8 rows. Use lowering='parallel' or 'auto', fewer points, or algorithm='radix' with 2 "
                "points of at most 7 bits."
            )
        lacking, unsuitable = form.lacking(target), form.unsuitable(layer, chosen.bits)
        if lacking is not None:
            raise LoweringError(f"{asked} is impossible on target {target.name!r}: {lacking}")
        if rule and unsuitable is not None:
            raise RecipeError(f"{asked} is impossible on target {target.name!r}: {unsuitable}")


def _without_second(settings: LayerSettings) -> LayerSettings:
    """The settings where no row is to have a second point: that it would not merge is no reason to refuse."""
    form = FORMS.get(settings.lowering)
    if form is None or not form.merges_rows or may_merge(settings):
        return settings
    return replace(settings, max_points=1)


def may_merge(settings: LayerSettings) -> bool:
    """Whether rows with all points may merge into int8 rows, as far as it is known before they are chosen."""
    ratios = ALGORITHMS[settings.algorithm].integer_ratios
    if ratios:
        return max(map(abs, grid_limits(settings.bits, settings.max_points))) <= INT8_LIMIT
    return ratios is None


def _rule(recipe: Recipe, layer_name: str) -> str:
    """The rule that set the layer's lowering, as the start of a message; empty: none did."""
    setters = [rule for rule in recipe.rules if rule.lowering is not None and rule.matches(layer_name)]
    return f"rule {setters[-1].match!r}: " if setters else ""


# ---------------------------------------------------------------- points that come with the model or the call


def match_simulated(
    layers: Sequence[Layer], simulated: Mapping[str, SimulatedLayer], settings: Mapping[str, LayerSettings]
) -> dict[str, SimulatedLayer]:
    """The simulated Keras layer behind each layer of the file that has one and is to be quantized.

    Raises:
        ModelError: A simulated layer is not in the file.
        OptionError: A recipe gives a simulated layer other points.
    """
    result = {}
    for layer in layers:
        path = re.sub(r":[a-z_]+(:\d+)?$", "", layer.name)
        if path in simulated:
            result[layer.name] = simulated[path]
    missing = sorted(set(simulated) - {re.sub(r":[a-z_]+(:\d+)?$", "", name) for name in result})
    if missing:
        raise ModelError(
            f"layer '{missing[0]}' is simulated with points, but TensorFlow Lite has no convolution or dense layer of "
            f"its name; the file has {', '.join(layer.name for layer in layers[:5])}, ... Give the layers of the model "
            "names of their own, and do not simulate layers that the outputs do not depend on."
        )
    for name, known in list(result.items()):
        chosen, found = settings[name], known.settings
        if chosen.keep:
            del result[name]
        elif (chosen.bits, chosen.max_points, chosen.algorithm) != (found.bits, found.max_points, found.algorithm):
            raise OptionError(
                f"layer '{name}' computes with {found.bits}-bit points of {found.algorithm!r} (at most "
                f"{found.max_points}), and a recipe asks for {chosen.bits} bits, {chosen.algorithm!r}, at most "
                f"{chosen.max_points}. Drop that rule, or change the layer's config in Keras."
            )
    return result


def _given_settings(
    layers: Sequence[Layer], name: str, weight: MultipointWeight, settings: Mapping[str, LayerSettings]
) -> LayerSettings:
    """Settings of a layer whose points the caller gives."""
    layer = next((layer for layer in layers if layer.name == name), None)
    if layer is None:
        names = ", ".join(repr(layer.name) for layer in layers[:5])
        raise OptionError(f"points for layer {name!r}: the model has no such layer; it has {names}, ...")
    if weight.shape != layer.weight.shape:
        raise OptionError(
            f"points for layer {name!r} have shape {weight.shape}, but its weight has {layer.weight.shape}: rows are "
            "output channels, columns kernel height, width and input channels, as the .tflite file has them."
        )
    chosen = settings[name]
    if chosen.keep:
        raise OptionError(f"points for layer {name!r}: a rule keeps it as stock int8. Drop the rule or the points.")
    return replace(chosen, bits=weight.bits, max_points=len(weight.points), algorithm=GIVEN)
