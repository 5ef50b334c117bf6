"""What ``effort="distill"`` does beyond the rest: the rows of the final plan are trained to give what float gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from converters.reference.distillation import RowsToTrain, Trained, distilled
from converters.reference.tf_ops import OpError
from tfmpq.data.holdout import Split
from tfmpq.measure.evidence import feed_tensors, fits
from tfmpq.measure.network_loss import NetworkLoss
from tfmpq.measure.sensitivity import TEMPERATURE, RoundedWeight, with_weight
from tfmpq.progress import Progress
from tfmpq.refine.refine import Refined
from tfmpq.refine.rows import whole_rows, with_rows
from tfmpq.stages import Network, Planned, Rounded
from tfmpq.text import plural

_EPOCHS = 6
_LEAST_IMAGES = 100  # fewer are learned by heart in the first epoch
_MOST_IMAGES = 4000
_EVERY, _MOST_JUDGES = 8, 96  # of the samples of the fit, these judge as well


class Distiller:
    """Trains the rows of a plan against the float network, and keeps what is closest to it on held-back samples.

    Counts, bits and forms stay. It takes minutes, so it is for the final plan of a budget only. Layers that take part
    have radix points below 8 bits. Biases follow the rows as ever.

    Args:
        layers: of the network.
        network: they are in.
        data: samples to train on, and to judge by.
        seed: of the order of the samples.
        progress: shown meanwhile.
    """

    def __init__(
        self, layers: Sequence[Rounded], network: Network, data: Split, *, seed: int, progress: Progress
    ) -> None:
        self._possible = {layer.name for layer in layers if _possible(layer)}
        self._network, self._data, self._seed, self._progress = network, data, seed, progress

    def settled(self, refined: Refined) -> Sequence[Planned]:
        """The plan as it is."""
        return refined.plan

    def __call__(self, plan: Sequence[Planned]) -> Refined:
        """The plan with trained rows, or as it was where held-back samples do not gain."""
        chosen = [layer for layer in plan if layer.name in self._possible]
        if not chosen:
            return _unchanged(plan, "no layer has rows below 8 bits with points by algorithm 'radix'")
        feeds = feed_tensors(self._network.model)
        samples = [s for s in islice(self._data.fit(), _MOST_IMAGES) if fits(s, feeds)]
        if len(samples) < _LEAST_IMAGES or self._data.fitted:
            found = plural(len(samples), "image")
            return _unchanged(plan, f"it needs {_LEAST_IMAGES} images, better a thousand, and has {found} to train on")
        judges = samples[::_EVERY][:_MOST_JUDGES]
        known = {id(sample) for sample in judges}
        loss = NetworkLoss(self._network.model, [*self._data.judge, *judges], temperature=TEMPERATURE)
        rows = [_rows(layer) for layer in chosen]
        student = self._network.model
        for layer in plan:
            student = with_weight(student, layer.layer, _rounded(layer))
        training = distilled(
            self._network.model.graph,
            student.graph,
            rows,
            [sample for sample in samples if id(sample) not in known],
            feeds,
            epochs=_EPOCHS,
            seed=self._seed,
        )
        before = loss([(x.layer, _rounded(x)) for x in plan])
        best, way = before, dict[str, Planned]()
        try:
            for trained in self._progress(training, _EPOCHS, "distillation"):
                trial = _applied(chosen, rows, trained)
                reached = loss([(x.layer, _rounded(x)) for x in (trial.get(x.name, x) for x in plan)])
                if reached < best:
                    best, way = reached, trial
        except OpError as error:
            return _unchanged(plan, str(error))
        if not way:
            return _unchanged(plan, "the network is no closer to float on samples held back from training")
        note = (
            f"effort='distill' trained the rows of {plural(len(way), 'layer')} on {plural(len(samples), 'image')}, "
            f"which leaves {best / before:.0%} of the distance from float on samples held back from training"
        )
        return Refined([way.get(x.name, x) for x in plan], tuple(way), best / before, note)


def _unchanged(plan: Sequence[Planned], reason: str) -> Refined:
    return Refined(plan, note=f"effort='distill' changed nothing: {reason}")


def _possible(layer: Rounded) -> bool:
    """Whether its rows can be trained: radix points of its own, and biases that follow them."""
    settings = layer.settings
    radix = settings.algorithm == "radix" and settings.bits < 8
    return layer.given is None and radix and layer.corrects_bias and not layer.layer.lookups


def _rounded(layer: Planned) -> RoundedWeight:
    return RoundedWeight(layer.points.reconstruct(np.float32), layer.biases(layer.points))


def _rows(layer: Planned) -> RowsToTrain:
    codes, grids = whole_rows(layer)
    groups = layer.layer.groups
    means = np.repeat(layer.statistics.means, layer.layer.channels // groups, axis=1)
    biases = layer.biases(layer.points)
    return RowsToTrain(layer.layer, codes, grids.step, grids.low, grids.high, means, biases)


def _applied(chosen: Sequence[Planned], rows: Sequence[RowsToTrain], trained: Trained) -> Mapping[str, Planned]:
    """The layers with trained rows; steps stay where the runtime can hold them."""
    result = {}
    for layer, own, (codes, step) in zip(chosen, rows, trained, strict=True):
        floor = whole_rows(layer)[1].floor
        result[layer.name] = with_rows(layer, codes, np.where(step < floor, own.step, step))
    return result
