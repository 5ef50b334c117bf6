"""`tfmpq.convert`: the pipeline, one line a stage."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import numpy as np

from converters.frontend import FloatModel, int8_twin, load_model
from converters.graph import Model, load
from converters.layers import Layer, Skipped, find_layers
from converters.lowering.parallel import Storage
from converters.permutation import channel_groups
from tfmpq.algorithms import ALGORITHMS
from tfmpq.budget import Budget, Epsilon, ExtraBits, MaxBytes, MaxDrop
from tfmpq.calibration import collect_statistics
from tfmpq.emission import Emission, Rows, channel_freedom, emit, match_layers, shared_orders
from tfmpq.errors import ModelError, OptionError
from tfmpq.plan import Plan
from tfmpq.points import MAX_BITS, MAX_POINTS, MIN_BITS
from tfmpq.progress import Progress
from tfmpq.recipe import LOWERINGS, Recipe
from tfmpq.report import build_report
from tfmpq.representative import RepresentativeData, check_samples
from tfmpq.result import ConversionResult
from tfmpq.search import fit_bytes, fit_score
from tfmpq.stages import (
    Sensitivity,
    base_bytes,
    epsilon_plan,
    knapsack,
    layer_gains,
    make_rows,
    measure_costs,
    quantize_layers,
    remaining_costs,
    resolve_settings,
    row_bytes,
)
from tfmpq.validation import validate as validate_file
from tfmpq.version import __version__

IoType = Literal["int8", "uint8", "float32"]
_HELD_BACK_EVERY = 8  # every eighth sample is kept out of the statistics, for the report's accuracy figures ...
_MIN_TO_HOLD_BACK, _MAX_HELD_BACK = 32, 32  # ... where there are enough samples, and at most so many
_VALIDATION_SAMPLES = 2


def convert(
    model: object,
    rep_dataset: object,
    *,
    bits: int = 4,
    budget: Budget = ExtraBits(0.10),  # noqa: B008 (frozen)
    lowering: str = "parallel",
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
            bytes of a float .tflite file.
        rep_dataset: representative inputs as for TFLiteConverter (a function that returns an iterator), or an array,
            list, generator function or tf.data.Dataset; see :func:`tfmpq.representative.check_samples`. 100 samples
            are usual. Every eighth one (of 32 or more) only serves to measure the result.
        bits: bits of a point, 2..8. First, last and depthwise layers and those with less than 1 % of
            the weights take 8 unless the recipe says otherwise.
        budget: :class:`ExtraBits`, :class:`MaxBytes`, :class:`Epsilon` or :class:`MaxDrop`.
        lowering: ``"parallel"`` (every point its own op) or ``"fused"`` (merged into one int8 op).
        algorithm: ``"radix"``, ``"nearest_radix"``, ``"greedy"`` (the paper's), ``"nearest"`` or a registered one.
        max_points: most points a row may have, 1..4; None: 2, and 1 for 8-bit layers.
        sensitivity: how a layer's error is weighed: ``"energy"`` (free), ``"kl"``, ``"kl+gradient"``, or ``"auto"``.
        recipe: per-layer settings.
        weights: storage of the parallel form: ``"auto"``/``"int4"`` (INT4 where it runs fast) or ``"int8"``.
        io_dtype: type of the file's inputs and outputs.
        batch_size: batch of the exported graph; None keeps it dynamic.
        seed: of everything random.
        progress: show progress bars on stderr.
        validate: check the emitted file integer by integer and op by op (a few seconds).

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    _check_options(
        {"bits": bits, "budget": budget, "lowering": lowering, "algorithm": algorithm, "max_points": max_points,
         "sensitivity": sensitivity, "recipe": recipe, "weights": weights, "io_dtype": io_dtype,
         "batch_size": batch_size, "seed": seed}
    )  # fmt: skip
    recipe = recipe or Recipe()
    bar, clock = Progress(progress), _Clock()
    float_model = load_model(model, batch_size=batch_size)
    clock.lap("float conversion")
    data = check_samples(rep_dataset, float_model.inputs)
    clock.lap("data check")
    stock = int8_twin(float_model, data, io_dtype=io_dtype)
    clock.lap("stock int8 conversion")
    graph = load(float_model.flatbuffer)
    find = match_layers(float_model)
    int8_graph = load(stock)
    layers, skipped = _layers(graph, int8_graph, float_model)
    settings = resolve_settings(
        layers, recipe, bits=bits, max_points=max_points, algorithm=algorithm, lowering=lowering
    )
    chosen = [layer for layer in layers if settings[layer.name].keep is None]
    fit, held_back = _hold_back(data)
    statistics = collect_statistics(graph, layers, fit, fit.count, seed=seed, progress=bar)
    clock.lap("statistics")
    candidates = quantize_layers(chosen, settings, statistics, bar)
    clock.lap("points")
    costs = measure_costs(
        graph, chosen, settings, candidates, statistics, fit, measure=sensitivity, seed=seed, progress=bar
    )
    clock.lap("sensitivity")
    gains = layer_gains(chosen, candidates, costs)
    several = {
        n: g[:, 0] for n, g in gains.items() if settings[n].max_points > 1 and settings[n].lowering == "parallel"
    }
    orders = shared_orders(channel_freedom(channel_groups(int8_graph.graph), chosen), several)

    def rows_of(plan: Plan) -> dict[str, Rows]:
        return {
            layer.name: make_rows(
                layer,
                settings[layer.name],
                candidates[layer.name],
                plan.layers[layer.name].counts,
                statistics[layer.name],
            )
            for layer in chosen
        }

    def write(plan: Plan, samples: RepresentativeData | Subset | None = fit) -> Emission:
        return emit(
            graph,
            stock,
            rows_of(plan),
            plan,
            find=find,
            orders=orders,
            storage=weights,
            samples=samples,
            count=fit.count,
            metadata={"version": __version__, "recipe": json.loads(recipe.to_json())["rules"]},
            progress=bar,
        )

    if isinstance(budget, Epsilon):
        plan = epsilon_plan(chosen, settings, candidates, statistics, orders, budget.value)
    else:
        choose = knapsack(chosen, settings, gains, orders)
        everything = sum(
            float(g.size) * row_bytes(layer, settings[layer.name])
            for layer, g in zip(chosen, gains.values(), strict=True)
        )
        if isinstance(budget, ExtraBits):
            plan = choose(budget.fraction * base_bytes(chosen, settings))
        elif isinstance(budget, MaxBytes):
            plan = fit_bytes(budget, choose, everything, lambda p: len(write(p, None).content))
        else:
            plan = fit_score(budget, choose, everything, lambda p: write(p).content, float_model.flatbuffer)
    clock.lap("allocation")
    emission = write(plan)
    clock.lap("lowering")
    checked = None
    if validate:
        checked = validate_file(emission.content, stock, emission.lowered, held_back[:_VALIDATION_SAMPLES])
        clock.lap("validation")
    report = build_report(
        float_file=float_model.flatbuffer,
        stock_file=stock,
        file=emission.content,
        layers=layers,
        settings=settings,
        weights={name: rows.weight for name, rows in rows_of(plan).items()},
        statistics=statistics,
        costs=remaining_costs(chosen, candidates, costs, plan),
        lowered=emission.lowered,
        skipped=skipped,
        fallbacks=emission.fallbacks,
        held_back=held_back,
        held_back_is_calibration=fit is data,
        validation=checked,
        seconds=clock.seconds,
        notes=costs.notes,
    )
    return ConversionResult(emission.content, plan, report, float_model.flatbuffer, stock)


@dataclass(frozen=True)
class Subset:
    """Representative data without every n-th sample."""

    data: RepresentativeData
    left_out: frozenset[int]

    @property
    def count(self) -> int:
        """Samples in a pass."""
        return self.data.count - len(self.left_out)

    def __call__(self) -> Iterator[dict[str, np.ndarray]]:
        """A pass over the samples."""
        return (sample for i, sample in enumerate(self.data()) if i not in self.left_out)


def _hold_back(data: RepresentativeData) -> tuple[RepresentativeData | Subset, list[dict[str, np.ndarray]]]:
    """(samples for the statistics, samples to measure on); the same ones where there are few."""
    if data.count < _MIN_TO_HOLD_BACK:
        return data, list(islice(data(), _MAX_HELD_BACK))
    indices = frozenset(range(_HELD_BACK_EVERY - 1, data.count, _HELD_BACK_EVERY)[:_MAX_HELD_BACK])
    return Subset(data, indices), [sample for i, sample in enumerate(data()) if i in indices]


def _layers(float_graph: Model, int8_graph: Model, float_model: FloatModel) -> tuple[list[Layer], list[Skipped]]:
    layers, skipped = find_layers(
        float_graph.graph,
        int8_graph.graph,
        layer_names=float_model.layer_names,
        keras_generation=float_model.keras_generation,
        grouped_kernels=float_model.grouped_kernels,
    )
    if not layers:
        reasons = "".join(f" {s.name} ({s.op}): {s.reason}." for s in skipped[:5])
        raise ModelError(
            f"{float_model.source} has no layer that tfmpq can quantize (convolution, depthwise convolution, dense, "
            f"transposed convolution with constant weights).{reasons} Use TFLiteConverter for it."
        )
    return layers, skipped


class _Clock:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _check_options(options: Mapping[str, object]) -> None:
    def integer(name: str, low: int, high: int) -> None:
        value = options[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise OptionError(f"{name}={value!r} is out of range; give a whole number from {low} to {high}.")

    def choice(name: str, allowed: Sequence[str]) -> None:
        if options[name] not in allowed:
            raise OptionError(f"{name}={options[name]!r} is not known; choose one of {', '.join(map(repr, allowed))}.")

    integer("bits", MIN_BITS, MAX_BITS)
    if options["max_points"] is not None:
        integer("max_points", 1, MAX_POINTS)
    if options["batch_size"] is not None:
        integer("batch_size", 1, 1)
    integer("seed", 0, 2**32 - 1)
    choice("lowering", LOWERINGS)
    choice("algorithm", tuple(ALGORITHMS))
    choice("sensitivity", get_args(Sensitivity))
    choice("weights", get_args(Storage))
    choice("io_dtype", get_args(IoType))
    if not isinstance(options["budget"], (ExtraBits, MaxBytes, Epsilon, MaxDrop)):
        raise OptionError(
            f"budget={options['budget']!r} is no budget; give ExtraBits(fraction), MaxBytes(bytes), Epsilon(value) or "
            "MaxDrop(points, evaluate)."
        )
    if options["recipe"] is not None and not isinstance(options["recipe"], Recipe):
        raise OptionError(
            f"recipe={options['recipe']!r} is no Recipe; build Recipe([Rule(...)]) or Recipe.from_json(text)."
        )
