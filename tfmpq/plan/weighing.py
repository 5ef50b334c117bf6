"""From rounded layers to weighed ones: what rounding costs at the network's output, and what further points bring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from converters.layers.channel_groups import ChannelGroup
from converters.lowering.lookup import map_bytes
from converters.points import MultipointWeight, row_parts
from converters.reference.gradients import GradientResult
from tfmpq.algorithms.exact import significant
from tfmpq.algorithms.problem import output_error
from tfmpq.data.holdout import Split
from tfmpq.measure.output_noise import RowsInUse, output_noise
from tfmpq.measure.sensitivity import RoundedWeight, channel_gains, measure_layers
from tfmpq.measure.shrinkage import towards_mean
from tfmpq.options import Sensitivity
from tfmpq.plan.channel_order import row_groups, shared_orders, up_to_last
from tfmpq.plan.choice import candidate_forms
from tfmpq.progress import Progress
from tfmpq.stages import Measured, Network, Rounded, Weighed, advance

_LEAST_SAMPLES, _MOST_SAMPLES = 8, 64  # for what rounding costs at the output; few images carry most of a KL, so ...
_SENSITIVITY_MACS = 1e11  # ... as many are run as take seconds, and ...
_NETWORK_RUNS = 400  # ... as make so many runs of the network: each layer has its own
_MOST_GROWTH = 20.0  # four times what a classifier fitted to few images shows; more is an input that the fit never saw
_COST_BITS = 30  # that every processor's logarithm agrees on
_GROWTH_BITS = 11  # of a ratio of float64 sums: far more than it is known to, far fewer than BLAS leaves alone
_PREFIXES = (0.02, 0.05, 0.1, 0.2)  # of a table's rows, as budgets may have them get a second point
Gradients = Callable[[], GradientResult]


class OnePoint(Mapping[str, RoundedWeight]):
    """Layers with one point in every row, each made when it is asked for: all at once would be the model once more."""

    def __init__(self, layers: Mapping[str, Rounded]) -> None:
        self._layers = layers

    def __getitem__(self, name: str) -> RoundedWeight:
        weight = self.points(name)
        return RoundedWeight(weight.reconstruct(np.float32), self._layers[name].biases(weight))

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def points(self, name: str) -> MultipointWeight:
        """The points of a layer."""
        layer = self._layers[name]
        return layer.weight(np.ones(layer.layer.channels, np.int64))


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
    data: Split,
    *,
    measure: Sensitivity,
    gradients: Gradients,
    progress: Progress,
) -> tuple[list[Weighed], tuple[str, ...]]:
    """Weighs every layer's error and finds how its rows may be ordered.

    Args:
        layers: to be weighed.
        network: they are in.
        data: what the rows were fitted to, and samples that they were not.
        measure: ``energy`` is free: error over output energy. ``kl`` runs the network once a layer. ``kl+gradient``
            also weights the channels of a layer by squared gradients; ``auto`` is that where every op of the model can
            be differentiated.
        gradients: measures them, where they are wanted.
        progress: shown while layers are measured.

    Returns:
        The layers, and notes on what could not be measured.
    """
    costs = measure_costs(layers, network, data, measure=measure, gradients=gradients, progress=progress)
    gains = {layer.name: layer_gains(layer, costs) for layer in layers}
    placed: dict[str, tuple[tuple[ChannelGroup, ...], str | None]] = {
        layer.name: row_groups(layer.layer, network.groups) for layer in layers
    }
    orders = shared_orders(
        [
            (layer.name, placed[layer.name][0][0], gains[layer.name][:, 0])
            for layer in layers
            if placed[layer.name][0] and placed[layer.name][1] is None and orders_rows(layer)
        ]
    )
    weighed = []
    for layer in layers:
        groups, frozen = placed[layer.name]
        order = orders.get(layer.name)
        if frozen is not None and layer.given_counts is None and _stays(layer):
            order = np.arange(layer.layer.channels)
        if layer.statistics.rows is not None:
            order = lookup_order(gains[layer.name], layer.row_bytes)
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


def lookup_order(gains: np.ndarray, row_bytes: float) -> np.ndarray | None:
    """The model's own order where vocabularies are sorted by frequency well enough, None: the order of gains.

    Rows with further points that are the first ones need no map from ids to them, whose bytes pay for more rows.

    Args:
        gains: (V, points - 1), of a table.
        row_bytes: of a further point of a row.
    """
    if not gains.size:
        return None
    own, best = gains[:, 0], np.sort(gains[:, 0])[::-1]
    counts = np.unique((np.array(_PREFIXES) * len(own)).astype(int))
    more = np.array([round(map_bytes(int(count)) * len(own) / row_bytes) for count in counts])
    fits = counts + more < len(own)
    counts, more = counts[fits], more[fits]
    prefix, free = np.cumsum(own)[counts + more].sum(), np.cumsum(best)[counts].sum()
    return np.arange(len(own)) if len(counts) and prefix >= free else None


def orders_rows(layer: Rounded) -> bool:
    """Whether rows with several points must be neighbours in a form the layer may take."""
    forms = candidate_forms(layer)
    return len(layer.candidates) > 1 and [form.name for form in forms] != ["fused"]


def _stays(layer: Rounded) -> bool:
    """Whether rows whose order must stay can have several points only from the first on, so that none moves."""
    forms = candidate_forms(layer)
    return orders_rows(layer) and not layer.layer.full_width and not any(f.restores(layer.layer) for f in forms)


def measure_costs(
    layers: Sequence[Rounded],
    network: Network,
    data: Split,
    *,
    measure: Sensitivity,
    gradients: Gradients,
    progress: Progress,
) -> Costs:
    """Cost of every layer at the network's output by the chosen measure, see :func:`weigh_layers`."""
    if measure == "energy":
        return Costs({layer.name: _relative_error(layer) for layer in layers}, None)
    rounded = OnePoint({layer.name: layer for layer in layers})
    fitted = _some(layers, data)
    found = measure_layers(network.model, [layer.layer for layer in layers], rounded, fitted, progress=progress)
    unseen = _growth(layers, network, rounded, fitted, data)
    costs = {name: significant(cost, _COST_BITS) * unseen[name] for name, cost in found.items()}
    if measure == "kl" or all(len(layer.candidates) == 1 for layer in layers):
        return Costs(costs, None)
    result = gradients()
    if result.values is None:
        return Costs(costs, None, (f"channels are weighted equally within a layer: {result.reason}",))
    unknown = np.zeros(1)
    weights = {n: towards_mean(v, result.variances.get(n, unknown)) for n, v in result.values.items()}
    return Costs(costs, weights)


def _some(layers: Sequence[Rounded], data: Split) -> list[dict[str, np.ndarray]]:
    """Samples of the fit to run the network on, once a layer."""
    macs = sum(
        float(math.prod(use.float_op.outputs[0].shape)) * x.layer.columns for x in layers for use in x.layer.uses
    )
    return list(islice(data.fit(), runs_a_layer(macs, len(layers))))


def runs_a_layer(macs: float, layers: int) -> int:
    """On how many samples the network is run once a layer: fewer in deeper ones, so that time grows as their size does.

    Args:
        macs: multiplications of one run of all ``layers``.
        layers: how many there are.
    """
    runs = min(_NETWORK_RUNS, _SENSITIVITY_MACS / max(macs, 1.0))
    # A layer runs what comes after it: half of the network on average.
    return min(max(int(2 * runs / max(layers, 1)), _LEAST_SAMPLES), _MOST_SAMPLES)


def _growth(
    layers: Sequence[Rounded],
    network: Network,
    rounded: OnePoint,
    fitted: Sequence[dict[str, np.ndarray]],
    data: Split,
) -> dict[str, float]:
    """How many times larger a layer's relative output error is on samples that its rows were not fitted to.

    At least 1, as it cannot be less but by chance, and 1 where nothing is known of the error on ``fitted``. The
    network's own output varies too much from image to image to be measured on few: outputs of layers do not.
    """
    if data.fitted:
        return {layer.name: 1.0 for layer in layers}
    rows = [
        RowsInUse(x.layer, rounded.points(x.name).rows, x.statistics.means if x.corrects_bias else None)
        for x in layers
        if x.statistics.rows is None
    ]
    known, unseen = (output_noise(network.model, rows, side) for side in (fitted, data.judge))
    growth = {layer.name: 1.0 for layer in layers}  # rows of tables are fitted to no data
    for name, (signal, noise) in known.items():
        before, after = _relative(signal, noise), _relative(*unseen[name])
        ratio = float(np.clip(after / before, 1.0, _MOST_GROWTH)) if before > 0 else 1.0
        growth[name] = significant(ratio, _GROWTH_BITS)
    return growth


def _relative(signal: float, noise: float) -> float:
    return noise / signal if signal > 0 else 0.0


def _relative_error(layer: Rounded) -> float:
    weights = 1.0 if layer.statistics.rows is None else layer.statistics.rows
    energy = (weights * output_energy(layer)).sum()
    return float((weights * layer.candidates[0].error).sum() / energy) if energy > 0 else 0.0


def output_energy(layer: Measured, *, centred: bool = True) -> np.ndarray:
    """Variance (or mean square, bias left aside) of every output channel over the calibration data, (C,)."""
    rows, known = layer.layer.grouped(layer.layer.weight), layer.statistics
    moment = known.covariance if centred else known.second_moment()
    parts = row_parts(rows.shape[1], layer.layer.groups * layer.layer.columns)
    errors = [output_error(rows[:, part].astype(np.float64), moment) for part in parts]
    return np.concatenate(errors, axis=1).reshape(-1)


def layer_gains(layer: Rounded, costs: Costs) -> np.ndarray:
    """(C, max_points - 1) predicted fall of the network's loss with each further point."""
    weights = layer.statistics.rows
    if weights is None and costs.gradients is not None:
        weights = costs.gradients[layer.name]
    return channel_gains(layer.errors, costs.layers[layer.name], weights)


def total_row_bytes(layers: Iterable[Rounded]) -> float:
    """Bytes at which every row has all its points."""
    return sum(float(layer.layer.channels * (len(layer.candidates) - 1)) * layer.row_bytes for layer in layers)
