"""From planned layers to planned ones whose rows make up for each other's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice

import numpy as np

from converters.reference.output_moments import OutputMoments, output_moments
from tfmpq.algorithms import LayerStatistics
from tfmpq.algorithms.full_rows import FullMoment, damped
from tfmpq.algorithms.two_sided import round_two_sided
from tfmpq.data.holdout import Split
from tfmpq.measure.evidence import feed_tensors, fits, measure_inputs
from tfmpq.measure.network_loss import NetworkLoss
from tfmpq.measure.sensitivity import TEMPERATURE, RoundedWeight
from tfmpq.progress import Progress
from tfmpq.refine.rows import whole_rows, with_rows
from tfmpq.stages import Network, Planned, Rounded
from tfmpq.text import plural
from tfmpq.threads import serial_blas

_DRAWS = 1200  # random directions in all; MobileNetV2's tempered KL falls by 4.8 % with 600, by 7 % with 1800
_LEAST_DRAWS, _MOST_DRAWS = 2, 16  # of a sample
_MOST_SAMPLES = 300
_MOST_CHANNELS = 4096  # of a layer: its gradients' moment takes 128 MB
_MOST_WORK = 2e10  # multiplications of one sweep: a minute or so
_KEPT = 4  # plans: as many as a budget tries
_WELL_KNOWN = 0.1  # share of the moment's off-diagonal that samples tell nothing of
_DAMPING = 0.02  # of the mean diagonal; .1 and .5 are worse on the MobileNets


@dataclass(frozen=True)
class Refined:
    """What refinement did.

    Attributes:
        plan: the layers, refined without the samples that judge, or as they were.
        layers: names of those that were refined.
        left: of them, the share of the network's distance from float on held-back samples that was left.
        note: what was done, or why nothing, for the report.
    """

    plan: Sequence[Planned]
    layers: tuple[str, ...] = ()
    left: float = 1.0
    note: str = ""


class Refiner:
    """Refines plans of one network; what the network makes of errors is measured once for all of them.

    Args:
        layers: of the network.
        network: they are in.
        data: samples to measure gradients on, and to judge by.
        seed: of random directions.
        progress: shown meanwhile.
    """

    def __init__(
        self, layers: Sequence[Rounded], network: Network, data: Split, *, seed: int, progress: Progress
    ) -> None:
        self._layers = [layer for layer in layers if _possible(layer)]
        self._network, self._data, self._seed, self._progress = network, data, seed, progress
        self._last: dict[tuple[tuple[str, str, bytes], ...], Refined] = {}

    @cached_property
    def _moments(self) -> OutputMoments:
        if not self._layers:
            return OutputMoments({}, {}, "no layer has rows below 8 bits that can be rounded together")
        model = self._network.model
        feeds = feed_tensors(model)
        # Backpropagation is traced for one size.
        samples = [sample for sample in image_by_image(self._data) if fits(sample, feeds)]
        if not samples:
            return OutputMoments({}, {}, "no sample has the sizes on file, at which gradients are computed")
        draws = int(np.clip(_DRAWS // len(samples), _LEAST_DRAWS, _MOST_DRAWS))
        return output_moments(
            model.graph,
            [layer.layer for layer in self._layers],
            samples,
            feeds,
            draws=draws,
            seed=self._seed,
            progress=self._progress,
        )

    def __call__(self, plan: Sequence[Planned]) -> Refined:
        """The best, on held-back samples, of all layers refined, of those whose errors are known well, and of none."""
        key = tuple((layer.name, layer.lowering, layer.counts.tobytes()) for layer in plan)
        if key not in self._last:  # what a budget tried last is mostly what it chooses
            self._last = {**dict(list(self._last.items())[1 - _KEPT :]), key: self._refined(plan)}
        return self._last[key]

    def _refined(self, plan: Sequence[Planned]) -> Refined:
        known = self._moments
        chosen = [x for x in plan if x.name in known.values and (x.counts == 1).any()]
        if not chosen:
            return _unchanged(plan, known.reason or "every row has all its points")
        found: dict[str, Planned] = {}
        with serial_blas():
            for layer in self._progress(chosen, len(chosen), "refinement"):
                refined = refine_layer(layer, known.values[layer.name])
                if refined is not layer:
                    found[layer.name] = refined
        well = {name: layer for name, layer in found.items() if known.shares[name] <= _WELL_KNOWN}
        ways = [found] if len(well) in (0, len(found)) else [found, well]
        before = self._distance(plan, {})
        distances = [self._distance(plan, way) for way in ways]
        best = int(np.argmin(distances))
        if not distances[best] < before:
            return _unchanged(plan, "the network is no closer to float on samples held back from fitting")
        way, left = ways[best], distances[best] / before
        note = (
            f"effort='best' rounded the rows of {plural(len(way), 'layer')} together, which leaves {left:.0%} of the "
            "distance from float on the samples that chose so"
        )
        return Refined([way.get(x.name, x) for x in plan], tuple(way), left, note)

    def settled(self, refined: Refined) -> Sequence[Planned]:
        """The refined layers rounded once more, with what is known of their inputs from the samples that judged too."""
        if self._data.fitted:
            return refined.plan
        result = list(refined.plan)
        places = [i for i, layer in enumerate(result) if layer.name in refined.layers]
        with serial_blas():
            for i in self._progress(places, len(places), "refinement"):
                layer = replace(result[i], statistics=self._whole[result[i].name])
                result[i] = refine_layer(layer, self._moments.values[layer.name])
        return result

    @cached_property
    def _whole(self) -> dict[str, LayerStatistics]:
        """Statistics of samples of the fit and of those that judge."""
        fit, judge = self._data.fit, self._data.judge
        found = measure_inputs(
            self._layers,
            self._network,
            lambda: chain(fit(), judge),
            fit.count + len(judge),
            seed=self._seed,
            progress=self._progress,
        )
        return {layer.name: layer.statistics for layer in found}

    def _distance(self, plan: Sequence[Planned], way: Mapping[str, Planned]) -> float:
        layers = [way.get(x.name, x) for x in plan]
        return self._loss(
            [(x.layer, RoundedWeight(x.points.reconstruct(np.float32), x.biases(x.points))) for x in layers]
        )

    @cached_property
    def _loss(self) -> NetworkLoss:
        return NetworkLoss(self._network.model, self._data.judge, temperature=TEMPERATURE)


def _unchanged(plan: Sequence[Planned], reason: str) -> Refined:
    return Refined(plan, note=f"effort='best' changed nothing: {reason}")


def _possible(layer: Rounded) -> bool:
    """Whether rows can be rounded together: radix points of a whole moment, few enough."""
    known, settings = layer.statistics, layer.settings
    rows, columns = layer.layer.weight.shape
    return (
        layer.given is None
        and settings.algorithm == "radix"
        and settings.bits < 8
        and layer.corrects_bias
        and known.blocks == 1
        and layer.layer.groups == 1
        and not layer.layer.lookups
        and 1 < rows <= _MOST_CHANNELS
        and float(rows) * columns * (rows + columns) <= _MOST_WORK
    )


def refine_layer(layer: Planned, outputs: np.ndarray) -> Planned:
    """One layer's rows rounded together; the layer itself where that brings nothing.

    Args:
        layer: with its points chosen.
        outputs: float64 (C, C), second moment of the gradients at its outputs.
    """
    codes, grids = whole_rows(layer)
    moment = FullMoment.of(damped(layer.statistics.covariance))
    found = round_two_sided(
        layer.layer.weight.astype(np.float64), codes, grids, moment, damped(outputs[None], share=_DAMPING)[0]
    )
    return layer if found.left == 1.0 else with_rows(layer, found.codes, found.step)


def image_by_image(data: Split) -> list[dict[str, np.ndarray]]:
    """Samples of the fit, views of one image side by side, so that batches differ in images: at most so many."""
    views = data.whole.views
    images = max(data.fit.count // views, 1)
    kept = min(images, max(_MOST_SAMPLES // views, 1))
    samples = {i: sample for i, sample in enumerate(islice(data.fit(), images * views)) if i % images < kept}
    return [samples[i + view * images] for i in range(kept) for view in range(views) if i + view * images in samples]
