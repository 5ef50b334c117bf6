"""A post-training plan on a Keras model: the rows that it has, as integers of their grids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import ModelError, OptionError
from converters.lowering.split import lowest_int4_code
from converters.points import MultipointWeight, code_range, radix
from tfmpq.api import prepare
from tfmpq.keras.folding import row_factors
from tfmpq.keras.kernels import CHANNEL_AXES, is_supported, kernel_of
from tfmpq.keras.rebuild import graph_layers
from tfmpq.plan.layer_plan import Plan
from tfmpq.preparation import Prepared
from tfmpq.recipe.rules import Recipe, Rule
from tfmpq.result import ConversionResult
from tfmpq.simulation.points import channel_rows
from tfmpq.stages import Weighed

GivenPlan = Plan | ConversionResult | Prepared
_SAME = 1e-3  # of a row: what is no factor of the row differs in the first digits


@dataclass(frozen=True, eq=False)
class PlannedLayer:
    """Rows of one Keras layer, as conversion rounds them.

    Attributes:
        bits: of a point.
        counts: int64 (C,), points of every row.
        lowest: whether single points use the lowest code.
        integers: int64 (C, d), of the grids, for rows as they are signed in the file.
        steps: float64 (C,), of the grids, in units of the Keras weight.
        factors: float64 (C,), what turns rows of the Keras weight into the file's.
        bias_change: float64 (C,), what conversion adds to the biases, in the file's units.
        spread: float64 (C,), of the outputs in the file's units, when one weight of a row moves by a step: the step
            times the root mean square of the inputs.
    """

    bits: int
    counts: np.ndarray
    lowest: bool
    integers: np.ndarray
    steps: np.ndarray
    factors: np.ndarray
    bias_change: np.ndarray
    spread: np.ndarray

    @property
    def signs(self) -> np.ndarray:
        """Signs (C,) of the factors."""
        return np.where(self.factors < 0, -1.0, 1.0)


def planned_layers(
    model: Any, samples: Sequence[list[np.ndarray]], plan: GivenPlan | None, *, progress: bool
) -> tuple[dict[str, PlannedLayer], list[str]]:
    """Rounds the rows of a float model as conversion does, with the bits and points of a plan.

    Args:
        model: float Keras 3 model.
        samples: representative inputs, each a list in input order.
        plan: of this model; None: what conversion chooses by its defaults.
        progress: show progress bars on stderr.

    Returns:
        Layers by their path, and what cannot be kept of the plan.

    Raises:
        OptionError: The plan is of another model.
        ModelError: No layer of the plan is one that Keras can simulate.
        ConversionError: As for :func:`tfmpq.convert`.
    """
    layers = dict(graph_layers(model))
    options: dict[str, Any] = {"equalize": "off", "ranges": "minmax", "progress": progress}
    # Channels stay as they are: a simulation has the model's own rows.
    if plan is None:
        prepared = prepare(model, samples, **options)
        given = prepared.finish(validate=False).plan
    else:
        given = _plan_of(plan)
        _check_names(given, layers, model)
        prepared = prepare(model, samples, sensitivity="energy", recipe=_recipe(given), **options)
    result, left = {}, set(given.layers)
    for path, layer, written in _supported(layers, prepared):
        known = [w for w in written if w.name in given.layers]
        found = _planned(known[0], given.layers[known[0].name].counts, layer) if known else None
        if found is not None:
            result[path] = found
            left -= {w.name for w in known}
    if not result:
        raise ModelError(
            f"model '{model.name}' has no layer with points in the plan that tfmpq.keras can simulate; convert it "
            "without distillation."
        )
    notes = []
    if left:
        names = ", ".join(f"'{name}'" for name in sorted(left)[:5])
        notes.append(f"{len(left)} layers of the plan cannot be simulated in Keras and are left as they are: {names}")
    return result, notes


def one_point_layers(model: Any, rep_dataset: object, bits: Mapping[str, int]) -> dict[str, PlannedLayer]:
    """Rounds rows of a float model as conversion does, one point a row.

    Args:
        model: float Keras 3 model.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`.
        bits: of each layer to be rounded, by its path.

    Returns:
        Layers by their path, but for those of which the file has other rows.
    """
    rules = [Rule(rf"^{re.escape(path)}(?:$|[:/])", bits=own) for path, own in bits.items()]
    prepared = prepare(
        model,
        rep_dataset,
        recipe=Recipe(rules),
        max_points=1,
        algorithm="radix",
        sensitivity="energy",
        equalize="off",
        ranges="minmax",
        progress=False,
    )
    result = {}
    for path, layer, written in _supported(dict(graph_layers(model)), prepared):
        if path in bits:
            found = _planned(written[0], np.ones(written[0].layer.channels), layer)
            if found is not None and found.bits == bits[path]:
                result[path] = found
    return result


def _supported(layers: Mapping[str, Any], prepared: Prepared) -> Iterator[tuple[str, Any, list[Weighed]]]:
    """Layers that Keras can simulate: path, layer, and what conversion makes of it."""
    for path, layer in layers.items():
        written = [w for w in prepared.weighed if _is_of(w.name, path)]
        if written and is_supported(layer):
            yield path, layer, written


def _plan_of(plan: object) -> Plan:
    if isinstance(plan, Prepared):
        plan = plan.finish(validate=False)
    if isinstance(plan, ConversionResult):
        if plan.report.activations == "float":
            raise OptionError(
                "the plan is one for float activations, and training simulates int8 ones: convert with "
                "activations='int8', or distil by tfmpq.convert(..., activations='float', effort='distill')."
            )
        plan = plan.plan
    if isinstance(plan, Plan):
        return plan
    raise OptionError(
        f"plan is a {type(plan).__name__}; give the result of tfmpq.convert, its plan, what tfmpq.prepare returns, or "
        "None for a plan by the defaults."
    )


def _check_names(plan: Plan, layers: Mapping[str, Any], model: Any) -> None:
    strange = [name for name in plan.layers if not any(_is_of(name, path) for path in layers)]
    if not strange:
        return
    known = ", ".join(f"'{path}'" for path, layer in list(layers.items()) if is_supported(layer))
    have = f"Layers that can have points here: {known[:300] or 'none'}."
    if len(strange) == len(plan.layers):
        raise OptionError(
            f"none of the {len(strange)} layers of the plan, such as '{strange[0]}', is called as a layer of model "
            f"'{model.name}': it was made from a .tflite file, whose layers go by their names there, or it is the plan "
            f"of another model. Give the plan of the Keras model itself, tfmpq.convert(model, images), or None. {have}"
        )
    raise OptionError(
        f"the plan has a layer '{strange[0]}', and model '{model.name}' has none of that name: it is the plan of "
        f"another model. {have}"
    )


def _is_of(name: str, path: str) -> bool:
    """Whether a layer of the file is (a part or a use of) the Keras layer of this path."""
    return name == path or name.startswith(f"{path}:") or name.startswith(f"{path}/")


def _recipe(plan: Plan) -> Recipe:
    return Recipe(
        Rule(f"^{re.escape(name)}$", bits=layer.settings.bits, max_points=int(np.max(layer.counts)), algorithm="radix")
        for name, layer in plan.layers.items()
    )


def _planned(weighed: Weighed, points: np.ndarray, keras_layer: Any) -> PlannedLayer | None:
    """The layer's rows with ``points`` each; None where the file's are not those of Keras with a factor each."""
    layer, counts = weighed.layer, np.asarray(points, np.int64)
    rows = channel_rows(np.asarray(kernel_of(keras_layer)), CHANNEL_AXES[type(keras_layer)])
    if len(counts) != layer.channels:
        raise OptionError(
            f"the plan has {len(counts)} rows for layer '{weighed.name}', and the model has {layer.channels}: it is "
            "the plan of another model."
        )
    if layer.weight.shape != rows.shape:
        return None
    factors = row_factors(layer.weight, rows)
    if not np.allclose(layer.weight, factors[:, None] * rows, atol=_SAME * np.abs(layer.weight).max(initial=0)):
        return None
    weight = weighed.weight(counts)
    integers, last = _integers(weight)
    dead = factors == 0
    steps = np.where(dead, 1.0, last / np.where(dead, 1.0, np.abs(factors)))
    power = weighed.statistics.power().mean(axis=1)
    power = np.repeat(power, layer.channels // len(power))
    change = np.asarray(weighed.biases(weight)[0], np.float64) - layer.uses[0].bias
    return PlannedLayer(
        bits=weight.bits,
        counts=counts,
        lowest=lowest_int4_code(layer) <= code_range(weight.bits)[0],
        integers=integers,
        steps=steps,
        factors=factors,
        bias_change=change,
        spread=np.sqrt(power) * last,
    )


def _integers(weight: MultipointWeight) -> tuple[np.ndarray, np.ndarray]:
    """Integers (C, d) of the rows' grids, and their steps (C,): the scales of the last points."""
    counts = weight.counts
    integers = np.zeros(weight.shape, np.int64)
    for i, point in enumerate(weight.points):
        places = np.array([radix(weight.bits, int(n)) ** max(int(n) - 1 - i, 0) for n in counts])
        integers += places[:, None] * point.codes
    scales = np.stack([point.scale for point in weight.points])
    return integers, scales[counts - 1, np.arange(len(counts))].astype(np.float64)
