"""Parameters common to all layers, chosen by the network's loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from tfmpq.algorithms import ALGORITHMS, Evidence
from tfmpq.measure.moments import Samples
from tfmpq.measure.network_loss import NetworkLoss
from tfmpq.measure.sensitivity import RoundedWeight
from tfmpq.plan.rounding import round_layer
from tfmpq.stages import Measured, Network

LOSS_SAMPLES = 64  # as many as are run once for every value


def choose_parameters(
    layers: Sequence[Measured], evidence: Mapping[str, Evidence], network: Network, samples: Samples
) -> tuple[dict[str, Evidence], tuple[str, ...]]:
    """Gives layers whose algorithms have a parameter the value of it that costs the network least.

    Layers of one algorithm share it. Rows have one point each, and the other layers stay in float.

    Args:
        layers: to be rounded.
        evidence: what is known of them already, by name.
        network: they are in.
        samples: that they are fitted to; the first few are run.

    Returns:
        The evidence with the values, and a note on each.
    """
    found, notes = dict(evidence), []
    for name, algorithm in ALGORITHMS.items():
        own = [layer for layer in layers if layer.given is None and layer.settings.algorithm == name]
        if not own or not algorithm.parameters:
            continue
        loss = NetworkLoss(network.model, list(islice(samples(), LOSS_SAMPLES)))
        best = least_cost(partial(_cost, own, evidence, loss), algorithm.parameters)
        found |= {layer.name: replace(found.get(layer.name, Evidence()), parameter=best) for layer in own}
        notes.append(f"algorithm {name!r}: of its parameter, {best:.3g} costs the network least")
    return found, tuple(notes)


def _cost(layers: Sequence[Measured], evidence: Mapping[str, Evidence], loss: NetworkLoss, value: float) -> float:
    return loss([(layer.layer, _rounded(layer, evidence.get(layer.name, Evidence()), value)) for layer in layers])


def least_cost(cost: Callable[[float], float], values: Sequence[float]) -> float:
    """The value of the least cost: one of ``values``, or where a parabola through their costs is least.

    Args:
        cost: of a value.
        values: to try, three or more.
    """
    costs = {value: cost(value) for value in values}
    curve, slope, _ = np.polyfit(list(costs), list(costs.values()), 2)
    if curve > 0:
        lowest = float(np.clip(-slope / (2 * curve), min(values), max(values)))
        costs[lowest] = costs[lowest] if lowest in costs else cost(lowest)
    return min(costs, key=costs.__getitem__)


def _rounded(layer: Measured, known: Evidence, value: float) -> RoundedWeight:
    settings = replace(layer.settings, max_points=1)
    rounded = round_layer(replace(layer, settings=settings), replace(known, parameter=value))
    weight = rounded.weight(np.ones(layer.layer.channels, np.int64))
    return RoundedWeight(weight.reconstruct(np.float32), rounded.biases(weight))
