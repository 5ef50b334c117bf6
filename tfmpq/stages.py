"""The stages of a conversion, as objects: one a layer and stage, each with all that the former one had.

    found -> measured -> rounded -> weighed -> planned -> written

Functions take a list of one stage and return a list of the next (:mod:`tfmpq.measure`, :mod:`tfmpq.plan`,
:mod:`tfmpq.emit`). A function that needs less takes an earlier stage, and any later one with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TypeVar

import numpy as np

from converters.frontend.float_model import FloatModel
from converters.layers.channel_groups import ChannelGroup, Segments
from converters.layers.layer import Layer
from converters.lowering.form import Form, Request, positions_of, segments_of
from converters.lowering.forms import FORMS, settle
from converters.lowering.result import LoweredLayer
from converters.points import MultipointWeight, merge, row_parts
from converters.tflite.file import File
from converters.tflite.graph import Model, Tensor
from tfmpq.algorithms import ALGORITHMS, Candidate, LayerStatistics
from tfmpq.algorithms.assembly import assemble, corrected_bias, trusted_mean
from tfmpq.recipe.rules import LayerSettings
from tfmpq.simulation.source import SimulatedLayer

Stage = TypeVar("Stage", bound="Found")


@dataclass(frozen=True, eq=False)
class Network:
    """The model that is converted: float, and as TensorFlow's own converter makes int8 of it.

    Attributes:
        float_model: where it came from and its float file, as the user gave it.
        stock: the stock int8 file of that, which results are held against.
        model: the float model whose weights are rounded: it computes the same, with activations that int8 holds better
            (:mod:`tfmpq.activations`).
        base: its int8 file, in which layers are replaced.
        groups: channel groups of every activation of that file.

    Models hold all graphs of a file; the main one is that which samples are for.
    """

    float_model: FloatModel
    stock: File
    model: Model
    base: File
    groups: Mapping[Tensor, Segments]


@dataclass(frozen=True, eq=False)
class Found:
    """A layer and what is asked for it.

    Attributes:
        layer: its weight and ops.
        settings: bits, algorithm, lowering asked for.
        given: points that come with the model or from the caller; nothing is chosen then.
    """

    layer: Layer
    settings: LayerSettings
    given: SimulatedLayer | MultipointWeight | None

    @property
    def name(self) -> str:
        """The user's name of the layer."""
        return self.layer.name

    @property
    def row_bytes(self) -> float:
        """Bytes of one point of one row: packed codes and a scale."""
        return self.layer.columns * self.settings.bits / 8 + 4

    @property
    def corrects_bias(self) -> bool:
        """Whether the bias takes the mean output error. Given points keep their biases: they were made for them."""
        if self.layer.site.bias is None:
            return False
        return self.given is None and ALGORITHMS[self.settings.algorithm].corrects_bias


@dataclass(frozen=True, eq=False)
class Measured(Found):
    """A layer with the moments of its inputs."""

    statistics: LayerStatistics


@dataclass(frozen=True, eq=False)
class Rounded(Measured):
    """A layer with its points.

    Attributes:
        candidates: all rows with 1, 2, ... points.
        given_counts: points of each row where they are given; None where they are to be chosen.
        notes: what could not be kept of given points.
    """

    candidates: tuple[Candidate, ...]
    given_counts: np.ndarray | None
    notes: tuple[str, ...]

    def weight(self, counts: np.ndarray) -> MultipointWeight:
        """The rows with ``counts`` points."""
        return assemble(self.candidates, counts, self.settings.bits)

    def biases(self, weight: MultipointWeight) -> tuple[np.ndarray, ...]:
        """float32 (C,) for every use of the layer."""
        if not self.corrects_bias:
            return tuple(use.bias for use in self.layer.uses)
        known, layer = self.statistics, self.layer
        inputs = [
            trusted_mean(mean, quantized_mean, known.positions)
            for mean, quantized_mean in zip(known.means, known.quantized_means, strict=True)
        ]
        biases = tuple(np.empty(layer.channels, np.float32) for _ in layer.uses)
        # Rows of one group can be taken apart.
        parts = row_parts(*layer.weight.shape) if layer.groups == 1 else [slice(0, layer.channels)]
        for part in parts:
            own, real = layer.weight[part], weight.rows(part)
            for i, use in enumerate(layer.uses):
                biases[i][part] = corrected_bias(use.bias[part], own, real, known.means[i], inputs[i])
        return biases

    @property
    def errors(self) -> np.ndarray:
        """(points, C), output error of every row with 1, 2, ... points."""
        return np.stack([candidate.error for candidate in self.candidates])

    @cached_property
    def merges(self) -> bool:
        """Whether rows with all points merge into int8 rows."""
        counts = np.full(self.layer.channels, len(self.candidates), np.int64)
        return merge(self.weight(counts)) is not None


@dataclass(frozen=True, eq=False)
class Weighed(Rounded):
    """A layer with what its rounding costs and its further points bring at the network's output.

    Attributes:
        cost: with one point in every row, in the measure's own unit.
        gains: (C, max_points - 1), predicted fall of the cost with each further point.
        groups: the channel groups of its outputs (one a use, usually all the same).
        frozen: why the order of its rows must stay, or None.
        order: ranking of its rows that other layers share, or the model's own where no row may move; None where it is
            free to choose.
    """

    cost: float
    gains: np.ndarray
    groups: tuple[ChannelGroup, ...]
    frozen: str | None
    order: np.ndarray | None

    def request(self, counts: np.ndarray) -> Request:
        """Rows with ``counts`` points, as forms are asked about them before they are chosen."""
        return self._request(counts, self.merges)

    def _request(self, counts: np.ndarray, merges: bool) -> Request:
        in_place = not (np.diff(counts) > 0).any()
        segments, bits = segments_of(counts), self.settings.bits
        return Request(self.layer, segments, bits, merges, self.frozen, self._restored, in_place)

    @property
    def _restored(self) -> int:
        """Positions of the tensors at which the order of its rows is put back if it changes."""
        return sum(positions_of(tensor) for group in self.groups for tensor in group.restored_at)

    def remaining_cost(self, counts: np.ndarray) -> float:
        """The cost once rows have ``counts`` points."""
        taken = np.arange(1, self.gains.shape[1] + 1)[None, :] < counts[:, None]
        return max(self.cost - float(self.gains[taken].sum()), 0.0)


@dataclass(frozen=True, eq=False)
class Planned(Weighed):
    """A layer with its points and its form chosen.

    Attributes:
        lowering: the form that was planned.
        counts: (C,), points of every row, in the model's own channel order.
    """

    lowering: str
    counts: np.ndarray

    @cached_property
    def points(self) -> MultipointWeight:
        """Its points."""
        return self.weight(self.counts)

    @cached_property
    def _settled(self) -> tuple[Form, str | None]:
        return settle(FORMS[self.lowering], self.asked)

    @cached_property
    def asked(self) -> Request:
        """What its form is asked to write."""
        return self._request(self.counts, merge(self.points) is not None)

    @property
    def form(self) -> Form:
        """The form that writes it."""
        return self._settled[0]

    @property
    def fallback(self) -> str | None:
        """Why it is not written as planned; None if it is, or there is nothing to say."""
        return self._settled[1]


@dataclass(frozen=True, eq=False)
class Written(Planned):
    """A layer as it stands in the emitted file.

    Attributes:
        lowered: in the main graph.
        elsewhere: in other graphs, by number.
    """

    lowered: LoweredLayer
    elsewhere: Mapping[int, LoweredLayer] = field(default_factory=dict)


def advance(stage: type[Stage], former: Found, **new: object) -> Stage:
    """The next stage of a layer: all that the former had, and what is new."""
    known = {f.name: getattr(former, f.name) for f in fields(former)}
    wanted = {f.name for f in fields(stage)}
    return stage(**{name: value for name, value in {**known, **new}.items() if name in wanted})
