"""Streaming input statistics of every layer, gathered by running the float graph over the representative data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from converters.layers.layer import Layer, Use
from converters.reference.position_gradients import Relevance
from converters.runtime.interpreter import run
from converters.runtime.probes import probe_interpreter
from converters.tflite.graph import Graph, Model, Tensor
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.measure.input_sums import MAX_FULL_COLUMNS, SMALL_COLUMNS, Moments, finish, pooled_tensor, sums_of
from tfmpq.threads import INFERENCE_THREADS, concurrently, serial_blas

Samples = Callable[[], Iterator[dict[str, np.ndarray]]]

MEMORY_CAP = 1 << 30  # bytes of moment matrices held at once; more layers than fit are gathered in further passes
_POSITIONS_PER_COLUMN = 32  # total positions wanted, as a multiple of the matrix width
_MIN_POSITIONS, _MAX_POSITIONS = 256, 2048  # per sample
_MOST_VALUES = 1 << 24  # of one sample's patches: 64 MB; wide layers keep few positions anyway


def passes(layers: Sequence[Layer], graph: Graph) -> list[list[Layer]]:
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
    width = columns if columns <= MAX_FULL_COLUMNS or layer.groups > 1 else SMALL_COLUMNS
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
    groups = passes(layers, model.graph)
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
    gathering = Gathering(model, layers, count)
    for number, feeds in enumerate(progress(samples(), count, label)):
        gathering.add(feeds, rng, {name: masks[number] for name, masks in relevance.items()})
    return {layer.name: finish(gathering.sums.pop(layer.name)) for layer in layers}


class Gathering:
    """Sums of what some layers read of one sample after the other.

    Args:
        model: the float model.
        layers: layers found in it.
        count: number of samples that there will be.

    Attributes:
        sums: layer name -> those of each use.
    """

    def __init__(self, model: Model, layers: Sequence[Layer], count: int) -> None:
        inputs = list(dict.fromkeys(use.float_input for layer in layers for use in layer.uses))
        pooled = {tensor: pooled_tensor(model.graph, tensor) for tensor in inputs}
        self._tensors = list(dict.fromkeys([*inputs, *(tensor for tensor in pooled.values() if tensor is not None)]))
        self._computed = [t for t in self._tensors if t not in model.graph.inputs]
        computed = self._computed
        self._interpreter = probe_interpreter(model, computed, threads=INFERENCE_THREADS) if computed else None
        self._named = input_names(model)
        self._layers, self._count = layers, count
        self.sums = sums_of(model, layers, count)

    def add(
        self, feeds: Mapping[str, np.ndarray], rng: np.random.Generator, counting: Mapping[str, np.ndarray]
    ) -> None:
        """Adds a sample.

        Args:
            feeds: inputs by name.
            rng: chooses positions.
            counting: of layers at some of whose positions nothing is computed that counts, those that do.
        """
        values, tasks = self._read(feeds, rng, counting)
        for _ in concurrently(lambda task: task[0].add_sample(task[1], values, task[2]), tasks):
            pass

    def centre(self, samples: Sequence[Mapping[str, np.ndarray]], rng: np.random.Generator) -> None:
        """Takes sums about the means of samples, which are not added; see :meth:`FullSums.centre`."""
        found: dict[Moments, list[list[np.ndarray]]] = {}
        for feeds in samples:
            values, tasks = self._read(feeds, rng, {})
            for sums, use, positions in tasks:
                found.setdefault(sums, []).append(sums.means(use, values, positions))
        for sums, means in found.items():
            sums.centre([np.mean(parts, axis=0) for parts in zip(*means, strict=True)])

    def _read(
        self, feeds: Mapping[str, np.ndarray], rng: np.random.Generator, counting: Mapping[str, np.ndarray]
    ) -> tuple[dict[Tensor, np.ndarray], list[tuple[Moments, Use, np.ndarray | None]]]:
        """Activations, and of every use of a layer its sums and the positions that are taken."""
        values = {t: feeds[self._named[t]] for t in self._tensors if t in self._named}
        if self._interpreter is not None:
            values.update(zip(self._computed, run(self._interpreter, feeds), strict=True))
        tasks = []
        for layer in self._layers:
            for use, sums in zip(layer.uses, self.sums[layer.name], strict=True):
                value = values[use.float_input]
                tasks.append(
                    (sums, use, choose_positions(layer, use, value, self._count, rng, counting.get(layer.name)))
                )
        return values, tasks


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
