"""`tfmpq.convert` and `tfmpq.prepare`: the pipeline, one line a stage."""

from __future__ import annotations

import os

from converters.errors import ModelError
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.find import find_layers
from converters.layers.layer import Layer, Skipped
from converters.layers.permutation import channel_groups
from converters.lowering.parallel import Storage
from converters.targets import load_target
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tfmpq.data.holdout import hold_back
from tfmpq.data.representative import check_samples
from tfmpq.emit.write import channel_freedom, shared_orders
from tfmpq.measure.moments import collect_statistics
from tfmpq.options import IoType, check_finish, check_preparation
from tfmpq.plan.capabilities import check_lowerings
from tfmpq.plan.choice import Chooser, orders_rows
from tfmpq.plan.given_points import fixed_counts, fixed_points, match_simulated, with_fixed
from tfmpq.preparation import Clock, Prepared
from tfmpq.progress import Progress
from tfmpq.recipe.budgets import Budget, ExtraBits
from tfmpq.recipe.rules import Recipe
from tfmpq.result import ConversionResult
from tfmpq.sources import read_source
from tfmpq.stages import Sensitivity, layer_gains, measure_costs, merges, quantize_layers, resolve_settings


def convert(
    model: object,
    rep_dataset: object,
    *,
    bits: int = 4,
    budget: Budget = ExtraBits(0.10),  # noqa: B008 (frozen)
    lowering: str = "auto",
    target: str | os.PathLike[str] = "xnnpack",
    max_latency_ratio: float | None = None,
    algorithm: str = "radix",
    max_points: int | None = None,
    sensitivity: Sensitivity = "auto",
    recipe: Recipe | None = None,
    weights: Storage = "auto",
    io_dtype: IoType = "int8",
    batch_size: int | None = 1,
    seed: int = 0,
    progress: bool = True,
    validate: bool = True,
) -> ConversionResult:
    """Converts a float model to a .tflite file with multipoint low-bit weights and int8 activations.

    Args:
        model: Keras 3 or tf_keras model, path of a .keras, .h5 or float .tflite file or a SavedModel directory, or the
            bytes of a float .tflite file. A Keras model annotated or simulated by :mod:`tfmpq.quantize_config` (tfmot)
            or :mod:`tfmpq.keras` brings the settings, or the points, of its layers along.
        rep_dataset: representative inputs as for TFLiteConverter (a function that returns an iterator), or an array,
            list, generator function or tf.data.Dataset; see :func:`tfmpq.data.representative.check_samples`. 100
            samples are usual; :func:`tfmpq.image_views` makes more of them. Every eighth one (of 32 or more) only
            serves to measure the result.
        bits: bits of a point, 2..8. First, last and depthwise layers and those with less than 1 % of
            the weights take 8 unless the recipe says otherwise.
        budget: :class:`ExtraBits`, :class:`MaxBytes`, :class:`Epsilon` or :class:`MaxDrop`.
        lowering: ``"auto"`` (the smallest file at stock int8 speed, layer by layer), ``"split"`` (INT4 and merged int8
            rows side by side), ``"fused"`` (merged into one int8 op) or ``"parallel"`` (every point its own op).
        target: whose speed counts: ``"xnnpack"``, ``"builtin"`` (no delegate), or a table of your own machine by
            ``tfmpq target``.
        max_latency_ratio: most predicted latency relative to stock int8; None: 1.02 for ``"auto"``, else no limit.
        algorithm: ``"radix"``, ``"nearest_radix"``, ``"greedy"`` (the paper's), ``"nearest"`` or a registered one.
        max_points: most points a row may have, 1..4; None: 2, and 1 for 8-bit layers.
        sensitivity: how a layer's error is weighed: ``"energy"`` (free), ``"kl"``, ``"kl+gradient"``, or ``"auto"``.
        recipe: per-layer settings.
        weights: storage of points: ``"auto"`` (INT4 where it runs fast), ``"int8"``, or ``"int4"`` (the compact form,
            for :func:`tfmpq.expand`; with ``lowering="parallel"``).
        io_dtype: type of the file's inputs and outputs.
        batch_size: batch of the exported graph; None keeps it dynamic.
        seed: of everything random.
        progress: show progress bars on stderr.
        validate: check the emitted file integer by integer and op by op (a few seconds).

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`converters.errors`.
    """
    check_finish(budget=budget, weights=weights, max_latency_ratio=max_latency_ratio)
    prepared = prepare(
        model,
        rep_dataset,
        bits=bits,
        lowering=lowering,
        target=target,
        algorithm=algorithm,
        max_points=max_points,
        sensitivity=sensitivity,
        recipe=recipe,
        io_dtype=io_dtype,
        batch_size=batch_size,
        seed=seed,
        progress=progress,
    )
    return prepared.finish(budget=budget, weights=weights, max_latency_ratio=max_latency_ratio, validate=validate)


def prepare(
    model: object,
    rep_dataset: object,
    *,
    bits: int = 4,
    lowering: str = "auto",
    target: str | os.PathLike[str] = "xnnpack",
    algorithm: str = "radix",
    max_points: int | None = None,
    sensitivity: Sensitivity = "auto",
    recipe: Recipe | None = None,
    io_dtype: IoType = "int8",
    batch_size: int | None = 1,
    seed: int = 0,
    progress: bool = True,
) -> Prepared:
    """The slow part of :func:`convert`, whose ``finish`` then writes files for as many budgets as wanted.

    Args:
        model, rep_dataset, bits, lowering, target, algorithm, max_points, sensitivity, recipe, io_dtype, batch_size,
            seed, progress: as for :func:`convert`.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`converters.errors`.
    """
    check_preparation(
        {"bits": bits, "lowering": lowering, "algorithm": algorithm, "max_points": max_points,
         "sensitivity": sensitivity, "recipe": recipe, "io_dtype": io_dtype, "batch_size": batch_size, "seed": seed}
    )  # fmt: skip
    table = load_target(target)
    bar, clock = Progress(progress), Clock()
    source = read_source(model)
    recipe = Recipe([*source.rules, *(recipe.rules if recipe else ())])
    float_model = load_model(source.model, batch_size=batch_size)
    clock.lap("float conversion")
    data = check_samples(rep_dataset, float_model.inputs)
    clock.lap("data check")
    stock = int8_twin(float_model, data.originals, io_dtype=io_dtype)  # as users would convert it
    clock.lap("stock int8 conversion")
    graph, int8_graph = load(float_model.flatbuffer), load(stock)
    layers, skipped = _layers(graph, int8_graph, float_model)
    settings = resolve_settings(
        layers, recipe, bits=bits, max_points=max_points, algorithm=algorithm, lowering=lowering
    )
    check_lowerings(layers, settings, recipe, table)
    chosen = [layer for layer in layers if settings[layer.name].keep is None]
    simulated = match_simulated(layers, source.simulated, settings)
    fit, held_back = hold_back(data)
    statistics = collect_statistics(graph, layers, fit, fit.count, seed=seed, progress=bar)
    clock.lap("statistics")
    fixed = {
        layer.name: fixed_points(layer, simulated[layer.name], statistics[layer.name])
        for layer in chosen
        if layer.name in simulated
    }
    settings = with_fixed(settings, fixed)
    free = [layer for layer in chosen if layer.name not in fixed]
    candidates = {n: f.candidates for n, f in fixed.items()} | quantize_layers(free, settings, statistics, bar)
    clock.lap("points")
    costs = measure_costs(
        graph, chosen, settings, candidates, statistics, fit, measure=sensitivity, seed=seed, progress=bar
    )
    clock.lap("sensitivity")
    gains = layer_gains(chosen, candidates, costs)
    freedom = channel_freedom(channel_groups(int8_graph.graph), chosen)
    mergeable = {layer.name: merges(candidates[layer.name], settings[layer.name]) for layer in chosen}
    neighbours = [
        layer.name for layer in chosen if orders_rows(layer, settings[layer.name], mergeable=mergeable[layer.name])
    ]
    orders = shared_orders(freedom, {name: gains[name][:, 0] for name in neighbours})
    counts = fixed_counts(fixed, orders)
    return Prepared(
        float_model=float_model,
        stock=stock,
        graph=graph,
        layers=layers,
        chosen=chosen,
        skipped=skipped,
        settings=settings,
        recipe=recipe,
        data=data,
        fit=fit,
        held_back=held_back,
        statistics=statistics,
        candidates=candidates,
        costs=costs,
        gains=gains,
        orders=orders,
        fixed=counts,
        notes=[note for found in fixed.values() for note in found.notes],
        chooser=Chooser(chosen, settings, gains, orders, freedom, mergeable, table, int8_graph.graph, fixed=counts),
        seconds=clock.seconds,
        progress=progress,
    )


def _layers(float_graph: Model, int8_graph: Model, float_model: FloatModel) -> tuple[list[Layer], list[Skipped]]:
    layers, skipped = find_layers(
        float_graph.graph,
        int8_graph.graph,
        names=float_model.names,
    )
    if not layers:
        reasons = "".join(f" {s.name} ({s.op}): {s.reason}." for s in skipped[:5])
        raise ModelError(
            f"{float_model.source} has no layer that tfmpq can quantize (convolution, depthwise convolution, dense, "
            f"transposed convolution with constant weights).{reasons} Use TFLiteConverter for it."
        )
    return layers, skipped
