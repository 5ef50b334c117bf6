"""Streaming input statistics of every layer, gathered by running the float graph over the representative data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from converters.layers.layer import Layer, Use
from converters.reference.position_gradients import Relevance
from converters.runtime.interpreter import run
from converters.runtime.probes import probe_interpreter
from converters.tflite.graph import Graph, Model, Tensor
from tfmpq.algorithms.blocks import block_count, join, split
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.measure.sums import FullSums
from tfmpq.threads import INFERENCE_THREADS, concurrently, serial_blas

Samples = Callable[[], Iterator[dict[str, np.ndarray]]]

MEMORY_CAP = 1 << 30  # bytes of moment matrices held at once; more layers than fit are gathered in further passes
MAX_FULL_COLUMNS = 8192  # wider layers (large Flatten + Dense) keep blocks on the diagonal of their moments only
_SMALL_COLUMNS = 2048  # layers up to it always keep all; the widest block of wider ones
_FEW_COLUMNS = 512  # of a block where there are fewer positions than columns: see tfmpq.algorithms.blocks
_POSITIONS_PER_COLUMN = 32  # total positions wanted, as a multiple of the matrix width
_MIN_POSITIONS, _MAX_POSITIONS = 256, 2048  # per sample
_MOST_VALUES = 1 << 24  # of one sample's patches: 64 MB; wide layers keep few positions anyway
_ROUNDING_STRIDE = 4


class _Moments:
    """Running sums for one use of one layer.

    Args:
        layer: whose.
        source: of the int8 twin: how this input is quantized.
        pooled: whose mean over positions this input is.
        samples: how many there will be.
    """

    def __init__(self, layer: Layer, source: Tensor, pooled: Tensor | None, samples: int) -> None:
        self.source, self.pooled = source, pooled
        self._layer, self._samples = layer, samples
        self._rows: FullSums | None = None  # the first sample shows how wide its blocks may be
        target = pooled is not None and layer.columns <= MAX_FULL_COLUMNS
        self.positions = FullSums(layer.groups, layer.columns) if target else None
        self.rounding = np.zeros((layer.groups, layer.columns))
        self.rounding_count = 0

    @property
    def rows(self) -> FullSums:
        """The sums, once there are any."""
        assert self._rows is not None
        return self._rows

    def mean(self) -> np.ndarray:
        """(G, d)."""
        return join(self.rows.mean()[:, None], self._layer.groups, self._layer.columns)[:, 0]

    def add_sample(self, use: Use, values: Mapping[Tensor, np.ndarray], positions: np.ndarray | None) -> None:
        """Adds what the layer reads of one sample at some of its positions."""
        self.add(self._layer.kind.patches(values[use.float_input], self._layer.reading(use), positions=positions))
        if self.pooled is not None and self.positions is not None:
            self.positions.add(values[self.pooled].reshape(1, -1, self._layer.columns))

    def add(self, rows: np.ndarray) -> None:
        """Adds one sample's rows, (G, P, d)."""
        if not self._layer.reads_float:
            self._add_rounding(rows)
        if self._rows is None:
            blocks = self._blocks(rows.shape[1])
            self._rows = FullSums(len(rows) * blocks, -(-rows.shape[2] // blocks))
        self._rows.add(split(rows, len(self._rows.total)))

    def _add_rounding(self, rows: np.ndarray) -> None:
        # Stock ranges are the minimum and maximum of these very data, so int8 only rounds them. The mean rounding
        # error settles fast: a quarter of the positions is enough.
        steps = rows[:, ::_ROUNDING_STRIDE] * np.float32(1 / self.source.scale)
        error = np.rint(steps)
        error -= steps
        self.rounding += error.sum(axis=1)
        self.rounding_count += error.shape[1]

    def quantized_mean(self) -> np.ndarray:
        """(G, d), of the input as int8 has it. Rows that the runtime rounds one by one keep their mean."""
        if self._layer.reads_float:
            return self.mean()
        return self.mean() + self.rounding * self.source.scale / self.rounding_count

    def _blocks(self, positions: int) -> int:
        """How many blocks of columns: several where there is no room for a whole, or too little is known of it."""
        columns = self._layer.columns
        if columns <= _SMALL_COLUMNS or self._layer.groups > 1:
            return 1
        few = positions * self._samples <= columns // 2 and self.positions is None
        if columns <= MAX_FULL_COLUMNS and not few:
            return 1
        return block_count(columns, _FEW_COLUMNS if few else _SMALL_COLUMNS)

    def covariance(self) -> tuple[np.ndarray, np.ndarray]:
        """The best guess of the inputs' covariance, and how much of it is not theirs. Ends the sums.

        Means over positions have fewer samples than what they are means of, and are correlated alike.
        """
        return self.rows.covariance(None if self.positions is None else self.positions.covariance()[0])


def _passes(layers: Sequence[Layer], graph: Graph) -> list[list[Layer]]:
    """Groups of layers whose moments fit under the memory cap together."""
    groups: list[list[Layer]] = [[]]
    used = 0
    for layer in layers:
        size = sum(_most_bytes(layer, use, graph) for use in layer.uses)
        if groups[-1] and used + size > MEMORY_CAP:
            groups.append([])
            used = 0
        groups[-1].append(layer)
        used += size
    return groups


def _most_bytes(layer: Layer, use: Use, graph: Graph) -> int:
    """Of what is held for one use of a layer."""
    columns = layer.columns
    width = columns if columns <= MAX_FULL_COLUMNS or layer.groups > 1 else _SMALL_COLUMNS
    sums = 1 if pooled_tensor(graph, use.float_input) is None else 2
    return 8 * layer.groups * columns * width * sums


def collect_statistics(
    model: Model,
    layers: Sequence[Layer],
    samples: Samples,
    count: int,
    *,
    relevance: Relevance = MappingProxyType({}),
    seed: int = 0,
    progress: Callable[[Iterable, int, str], Iterable] = lambda items, total, what: items,
) -> dict[str, LayerStatistics]:
    """Mean and covariance of every layer's input patches.

    The covariance is the samples' own, shrunk by how little they tell (:mod:`tfmpq.measure.shrinkage`).

    Memory depends on the layers, not on the number of samples. Large feature maps contribute an evenly spread random
    subset of their positions (at least 256 a sample).

    Args:
        model: the float model.
        layers: layers found in it.
        samples: the representative data; iterated once per pass.
        count: number of samples.
        relevance: of layers at some of whose positions nothing is computed that counts, those that do.
        seed: of the choice of positions.
        progress: wraps the iteration over samples (items, total, description).
    """
    rng = np.random.default_rng(seed)
    result: dict[str, LayerStatistics] = {}
    groups = _passes(layers, model.graph)
    for number, group in enumerate(groups):
        label = "statistics" if len(groups) == 1 else f"statistics {number + 1}/{len(groups)}"
        with serial_blas():
            result.update(_one_pass(model, group, samples, count, relevance, rng, progress, label))
    return result


def _one_pass(
    model: Model,
    layers: Sequence[Layer],
    samples: Samples,
    count: int,
    relevance: Relevance,
    rng: np.random.Generator,
    progress: Callable,
    label: str,
) -> dict[str, LayerStatistics]:
    inputs = list(dict.fromkeys(use.float_input for layer in layers for use in layer.uses))
    pooled = {tensor: pooled_tensor(model.graph, tensor) for tensor in inputs}
    tensors = list(dict.fromkeys([*inputs, *(tensor for tensor in pooled.values() if tensor is not None)]))
    computed = [t for t in tensors if t not in model.graph.inputs]
    interpreter = probe_interpreter(model, computed, threads=INFERENCE_THREADS) if computed else None
    named = input_names(model)
    moments = {
        layer.name: [_Moments(layer, use.int8_input, pooled[use.float_input], count) for use in layer.uses]
        for layer in layers
    }
    for number, feeds in enumerate(progress(samples(), count, label)):
        values = {t: feeds[named[t]] for t in tensors if t in named}
        if interpreter is not None:
            values.update(zip(computed, run(interpreter, feeds), strict=True))
        tasks = []
        for layer in layers:
            for use, sums in zip(layer.uses, moments[layer.name], strict=True):
                counting = relevance[layer.name][number] if layer.name in relevance else None
                positions = choose_positions(layer, use, values[use.float_input], count, rng, counting)
                tasks.append((sums, use, positions))
        for _ in concurrently(lambda task: task[0].add_sample(task[1], values, task[2]), tasks):  # noqa: B023 (at once)
            pass
    return {layer.name: _finish(moments.pop(layer.name)) for layer in layers}


def input_names(model: Model) -> dict[Tensor, str]:
    """What the model's inputs are called in feeds."""
    if model.signatures:
        return {tensor: name for name, tensor in model.signatures[0].inputs}
    return {tensor: tensor.name for tensor in model.graph.inputs}


def choose_positions(
    layer: Layer, use: Use, value: np.ndarray, count: int, rng: np.random.Generator, counting: np.ndarray | None = None
) -> np.ndarray | None:
    """Output positions of one sample whose patches are taken; None: all, where there are few.

    Args:
        layer, use: what reads the activation.
        value: the activation.
        count: number of samples.
        rng: chooses.
        counting: bool, those to choose from; None: all.
    """
    places = None if counting is None else np.flatnonzero(counting)
    available = layer.kind.position_count(value, layer.reading(use)) if places is None else len(places)
    most = min(_MAX_POSITIONS, max(1, _MOST_VALUES // layer.columns))
    wanted = min(max(_POSITIONS_PER_COLUMN * layer.columns // count, _MIN_POSITIONS), most)
    if available <= wanted:
        return places
    # One random position in each of `wanted` equal stretches: even coverage, no aliasing with the image grid.
    chosen = ((np.arange(wanted) + rng.random(wanted)) * (available / wanted)).astype(np.int64)
    return chosen if places is None else places[chosen]


def pooled_tensor(graph: Graph, tensor: Tensor) -> Tensor | None:
    """The activation (1, ..., C) whose mean over all positions ``tensor`` is; None if it is no such mean."""
    op = graph.producers().get(tensor)
    while op is not None and op.name in ("RESHAPE", "SQUEEZE"):
        op = graph.producers().get(op.input(0))
    if op is None or op.name not in ("MEAN", "AVERAGE_POOL_2D"):
        return None
    source = op.input(0)
    channels = source.shape[-1]
    axes = {int(axis) % len(source.shape) for axis in op.input(1).array().ravel()} if op.name == "MEAN" else set()
    whole = len(source.shape) > 2 and math.prod(tensor.shape[1:]) == channels == tensor.shape[-1]
    return source if whole and len(source.shape) - 1 not in axes else None


def _finish(moments: list[_Moments]) -> LayerStatistics:
    means = [sums.mean() for sums in moments]
    quantized = [sums.quantized_mean() for sums in moments]
    positions = sum(sums.rows.count for sums in moments)
    total, share = moments[0].covariance()
    for sums in moments[1:]:
        covariance, its_share = sums.covariance()
        total += covariance
        share = share + its_share
    if len(moments) > 1:
        total /= len(moments)
        share = share / len(moments)
    return LayerStatistics(np.stack(means), np.stack(quantized), total, positions, share)
