"""From rounded layers to weighed ones: what rounding costs at the network's output, and what further points bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.layers.permutation import ChannelGroup
from converters.reference.gradients import GradientResult
from tfmpq.algorithms.problem import output_error
from tfmpq.measure.sensitivity import RoundedWeight, channel_gains, measure_layers
from tfmpq.measure.shrinkage import towards_mean
from tfmpq.options import Sensitivity
from tfmpq.plan.channel_order import row_groups, shared_orders, up_to_last
from tfmpq.plan.choice import candidate_forms
from tfmpq.progress import Progress
from tfmpq.stages import Measured, Network, Rounded, Weighed, advance

SENSITIVITY_SAMPLES = 32  # more change the measured costs by less than their spread over images
Gradients = Callable[[], GradientResult]


@dataclass(frozen=True)
class Costs:
    """What rounding costs at the network's output.

    Attributes:
        layers: layer name -> cost with one point in every row, in the measure's own unit.
        gradients: layer name -> (C,) weights of its channels, or None where they are not known.
        notes: what had to be left out, and why.
    """

    layers: Mapping[str, float]
    gradients: Mapping[str, np.ndarray] | None
    notes: tuple[str, ...] = ()


def weigh_layers(
    layers: Sequence[Rounded],
    network: Network,
    samples: Sequence[dict[str, np.ndarray]],
    *,
    measure: Sensitivity,
    gradients: Gradients,
    progress: Progress,
) -> tuple[list[Weighed], tuple[str, ...]]:
    """Weighs every layer's error and finds how its rows may be ordered.

    Args:
        layers: to be weighed.
        network: they are in.
        samples: to measure on, others than those the rows are fitted to; few are run.
        measure: ``energy`` is free: error over output energy. ``kl`` runs the network once a layer. ``kl+gradient``
            also weights the channels of a layer by squared gradients; ``auto`` is that where every op of the model can
            be differentiated.
        gradients: measures them, where they are wanted.
        progress: shown while layers are measured.

    Returns:
        The layers, and notes on what could not be measured.
    """
    costs = measure_costs(layers, network, samples, measure=measure, gradients=gradients, progress=progress)
    gains = {layer.name: layer_gains(layer, costs) for layer in layers}
    placed: dict[str, tuple[tuple[ChannelGroup, ...], str | None]] = {
        layer.name: row_groups(layer.layer, network.groups) for layer in layers
    }
    orders = shared_orders(
        [
            (layer.name, placed[layer.name][0][0], gains[layer.name][:, 0])
            for layer in layers
            if placed[layer.name][1] is None and orders_rows(layer)
        ]
    )
    weighed = []
    for layer in layers:
        groups, frozen = placed[layer.name]
        order = orders.get(layer.name)
        given = None if layer.given_counts is None else up_to_last(layer.given_counts, order)
        cost = costs.layers[layer.name]
        weighed.append(
            advance(
                Weighed,
                layer,
                cost=cost,
                gains=gains[layer.name],
                groups=groups,
                frozen=frozen,
                order=order,
                given_counts=given,
            )
        )
    return weighed, costs.notes


def orders_rows(layer: Rounded) -> bool:
    """Whether rows with several points must be neighbours in a form the layer may take."""
    forms = candidate_forms(layer)
    return len(layer.candidates) > 1 and [form.name for form in forms] != ["fused"]


def measure_costs(
    layers: Sequence[Rounded],
    network: Network,
    samples: Sequence[dict[str, np.ndarray]],
    *,
    measure: Sensitivity,
    gradients: Gradients,
    progress: Progress,
) -> Costs:
    """Cost of every layer at the network's output by the chosen measure, see :func:`weigh_layers`."""
    if measure == "energy":
        return Costs({layer.name: _relative_error(layer) for layer in layers}, None)
    rounded = {}
    for layer in layers:
        weight = layer.weight(np.ones(layer.layer.channels, np.int64))
        rounded[layer.name] = RoundedWeight(weight.reconstruct(), layer.biases(weight))
    few = samples[:SENSITIVITY_SAMPLES]
    costs = measure_layers(network.model, [layer.layer for layer in layers], rounded, few, progress=progress)
    if measure == "kl" or all(len(layer.candidates) == 1 for layer in layers):
        return Costs(costs, None)
    result = gradients()
    if result.values is None:
        return Costs(costs, None, (f"channels are weighted equally within a layer: {result.reason}",))
    unknown = np.zeros(1)
    weights = {n: towards_mean(v, result.variances.get(n, unknown)) for n, v in result.values.items()}
    return Costs(costs, weights)


def _relative_error(layer: Rounded) -> float:
    energy = output_energy(layer).sum()
    return float(layer.candidates[0].error.sum() / energy) if energy > 0 else 0.0


def output_energy(layer: Measured, *, centred: bool = True) -> np.ndarray:
    """Variance (or mean square, bias left aside) of every output channel over the calibration data, (C,)."""
    rows, known = layer.layer.grouped(layer.layer.weight.astype(np.float64)), layer.statistics
    return output_error(rows, known.covariance if centred else known.second_moment()).reshape(-1)


def layer_gains(layer: Rounded, costs: Costs) -> np.ndarray:
    """(C, max_points - 1) predicted fall of the network's loss with each further point."""
    weights = None if costs.gradients is None else costs.gradients[layer.name]
    return channel_gains(layer.errors, costs.layers[layer.name], weights)


def total_row_bytes(layers: Iterable[Rounded]) -> float:
    """Bytes at which every row has all its points."""
    return sum(float(layer.layer.channels * (len(layer.candidates) - 1)) * layer.row_bytes for layer in layers)
