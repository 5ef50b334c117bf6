"""Equalization: channels of activations are scaled, exactly, so that one int8 scale suits all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from converters.reference.activation_gradients import activation_gradients
from converters.rewriting.channel_scales import FIXED, ChannelScales, channel_scales
from converters.rewriting.scaled import scaled
from converters.tflite.graph import Graph, Model, Tensor
from tfmpq.activations.base import with_measured
from tfmpq.activations.equalization.descent import Noise, best_factors, predicted_noise
from tfmpq.activations.equalization.limits import factor_bounds, fixed_channels
from tfmpq.activations.equalization.measured import is_better
from tfmpq.activations.equalization.noise_model import NoiseModel, noise_model
from tfmpq.activations.ranges.readers import readers_of
from tfmpq.activations.subject import Case, Mended, Subject
from tfmpq.activations.values.statistics import Feed, Statistics, cautious, channel_statistics, within

_SAMPLES, _GRADIENT_SAMPLES = 32, 16  # that statistics and gradients are taken of
_LEFT = 0.5  # of a layer's rounding noise, after error feedback
_WORTH = 0.05  # smallest share of all predicted noise that has to go for the model to be rewritten


@dataclass(frozen=True, eq=False)
class _Group:
    """Variables that meet in activations, and what they bring on samples that nothing was fitted to.

    Attributes:
        variables: their numbers.
        tensors: the activations, in graph order.
        before, after: predicted noise of their int8 scales, relative to the output's signal.
    """

    variables: np.ndarray
    tensors: Sequence[Tensor]
    before: float
    after: float


def equalize(subject: Subject, case: Case) -> Subject:
    """Scales the channels of activations where int8 then loses less of the network's output.

    Factors make the predicted noise of activations and of rounded rows least together. They are kept for the groups of
    activations that gain on samples that they were not chosen on, if the int8 file's outputs gain there too.
    """
    if case.options.equalize == "cross_layer":
        return subject
    graph = subject.model.graph
    scales = channel_scales(graph, fixed=fixed_channels(graph, case) | subject.tail_operands | set(subject.ranges))
    if scales.count == 1:
        return subject
    samples = list(islice(case.data.fit(), _SAMPLES))
    fitted = channel_statistics(subject.model, samples)
    judged = fitted
    if not case.data.fitted:  # ranges are those of all data, for unseen samples too
        judged = within(channel_statistics(subject.model, case.data.judge[:_SAMPLES]), fitted)
    counts = _counts(subject.model, fitted, samples[:_GRADIENT_SAMPLES], case.options.seed)
    bits = {name: rows.bits for name, rows in case.rows.items()}
    # One preparation serves many budgets, so rows count with one point each.
    terms, unseen = (noise_model(graph, scales, cautious(known), counts, bits) for known in (fitted, judged))
    factors = best_factors(terms, factor_bounds(scales, fitted, judged), share=_LEFT)
    factors, groups = _kept(unseen, factors, scales, graph)
    before, after = (_predicted(unseen, f) for f in (np.ones(scales.count), factors))
    if not groups or after.total > (1 - _WORTH) * before.total:
        return subject
    entries = [_entry(group, factors, case) for group in sorted(groups, key=lambda g: g.after - g.before)]
    model = scaled(subject.model, scales, factors)
    # Whose scale a tensor has is up to the operators, which stay.
    subject = with_measured(subject, case)
    changed = replace(subject, model=model, measured=None, exact=False, mended=(*subject.mended, *entries))
    changed = with_measured(changed, case)
    return changed if is_better(subject, changed, case, (before, after)) else subject


def _counts(model: Model, statistics: Statistics, samples: Sequence[Feed], seed: int) -> Mapping[Tensor, np.ndarray]:
    """(C,) for every activation: what its mean squared noise counts.

    By gradients of the network's output, where this graph has them; else relative to the signals of the layers that
    read it, as errors of layers add up about evenly.
    """
    feeds = dict(model.signatures[0].inputs) if model.signatures else {t.name: t for t in model.graph.inputs}
    spreads = {t: np.sqrt(statistics[t].variance) for t in model.graph.outputs if t in statistics}
    found = activation_gradients(model.graph, samples, feeds, spreads=spreads, seed=seed)
    if not isinstance(found, str):
        return found
    signals = {tensor: float(known.variance.sum()) or np.inf for tensor, known in statistics.items()}
    readers = readers_of(model.graph, {}, signals)
    return {tensor: np.sum([r.weights for r in readers[tensor]], axis=0) for tensor in statistics}


# ---------------------------------------------------------------- groups


def _kept(
    unseen: NoiseModel, factors: np.ndarray, scales: ChannelScales, graph: Graph
) -> tuple[np.ndarray, list[_Group]]:
    """The factors of the groups that gain on unseen samples, and 1 for the others."""
    kept = factors.copy()
    components = list(_components(scales, graph))
    for variables, _ in components:
        without = kept.copy()
        without[variables] = 1.0
        own = unseen.part_of(variables)
        if _predicted(own, without).total <= _predicted(own, kept).total:
            kept = without
    before, after = (predicted_noise(unseen, f).activations for f in (np.ones(scales.count), kept))
    groups = []
    for variables, tensors in components:
        if (kept[variables] == 1).all():
            continue
        own = [i for i, scale in enumerate(unseen.scales) if np.isin(scale.variables, variables).any()]
        groups.append(_Group(variables, tensors, float(before[own].sum()), float(after[own].sum())))
    return kept, groups


def _predicted(model: NoiseModel, factors: np.ndarray) -> Noise:
    return predicted_noise(model, factors, share=_LEFT, grids=True)


def _components(scales: ChannelScales, graph: Graph) -> Iterator[tuple[np.ndarray, list[Tensor]]]:
    """Variables that meet in activations, with these, in graph order."""
    label = np.arange(scales.count)
    order = [t for op in graph.ops for t in op.outputs if t in scales.variables]
    changed = True
    while changed:
        former = label.copy()
        for tensor in order:
            free = scales.variables[tensor][scales.variables[tensor] != FIXED]
            if len(free):
                np.minimum.at(label, free, label[free].min())
        label = label[label]
        changed = bool((label != former).any())
    members: dict[int, list[Tensor]] = {}
    for tensor in order:
        free = scales.variables[tensor][scales.variables[tensor] != FIXED]
        if len(free):
            members.setdefault(int(label[free[0]]), []).append(tensor)
    for number, tensors in members.items():
        yield np.flatnonzero(label == number), tensors


def _entry(group: _Group, factors: np.ndarray, case: Case) -> Mended:
    own = factors[group.variables]
    layers = list(dict.fromkeys(case.layer_names.get(t.name, t.name) for t in group.tensors))
    more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
    why = f"{len(own)} channels times {own.min():.2g} to {own.max():.2g}"
    return Mended("equalized", layers[0] + more, why, _decibels(group.before), _decibels(group.after))


def _decibels(noise: float) -> float | None:
    return float(-10 * np.log10(noise)) if noise > 0 else None
