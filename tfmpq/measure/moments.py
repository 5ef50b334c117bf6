"""Streaming input statistics of every layer, gathered by running the float graph over the representative data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from converters.layers.layer import Layer, Use
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Graph, Model, Tensor
from converters.tflite.probe import probe
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.measure.shrinkage import Scatter, shrink
from tfmpq.threads import INFERENCE_THREADS, serial_blas

Samples = Callable[[], Iterator[dict[str, np.ndarray]]]

MEMORY_CAP = 1 << 30  # bytes of moment matrices held at once; more layers than fit are gathered in further passes
MAX_FULL_COLUMNS = 8192  # wider layers (large Flatten + Dense) keep the diagonal only
_POSITIONS_PER_COLUMN = 32  # total positions wanted, as a multiple of the matrix width
_MIN_POSITIONS, _MAX_POSITIONS = 256, 2048  # per sample
_ROUNDING_STRIDE = 4


class _Sums:
    """Running sums of rows: mean, covariance, and how much samples scatter about it."""

    def __init__(self, groups: int, columns: int) -> None:
        full = columns <= MAX_FULL_COLUMNS
        self.shift: np.ndarray | None = None
        self.total = np.zeros((groups, columns))
        self.square = np.zeros((groups, columns, columns) if full else (groups, columns))
        self.scatter = Scatter(groups, columns) if full else None
        self.count = 0

    def add(self, rows: np.ndarray) -> None:
        """Adds one sample's rows, (G, P, d)."""
        count = rows.shape[1]
        # Sums are taken about the first sample's mean: the covariance of inputs far from zero would drown otherwise.
        if self.shift is None:
            self.shift = rows.mean(axis=1, keepdims=True)
        rows = rows - self.shift
        total = np.ones(count, np.float32) @ rows
        self.total += total
        self.count += count
        # float32 products within one sample, float64 across samples.
        if self.scatter is None:
            self.square += np.einsum("gpd,gpd->gd", rows, rows, dtype=np.float64)
            return
        # A plain matrix product with itself costs half.
        square = (rows[0].T @ rows[0])[None] if len(rows) == 1 else np.swapaxes(rows, 1, 2) @ rows
        self.square += square
        self.scatter.add(square / np.float32(count), total / count)

    def mean(self) -> np.ndarray:
        """(G, d)."""
        offset = self.total / self.count
        return offset if self.shift is None else self.shift[:, 0].astype(np.float64) + offset

    def covariance(self, target: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The covariance shrunk towards ``target``, and the target's share; see :func:`shrink`."""
        offset, square = self.total / self.count, self.square / self.count
        if self.scatter is None:
            return np.maximum(square - offset**2, 0.0), np.zeros(len(offset))
        plain = square - np.einsum("gi,gj->gij", offset, offset)
        return shrink(plain, self.scatter.variance(square, offset), target)


class _Moments:
    """Running sums for one use of one layer."""

    def __init__(self, groups: int, columns: int, source: Tensor, pooled: Tensor | None) -> None:
        self.source = source  # of the int8 twin: how this input is quantized
        self.pooled = pooled  # whose mean over positions this input is
        self.rows = _Sums(groups, columns)
        self.positions = None if pooled is None else _Sums(groups, columns)
        self.rounding = np.zeros((groups, columns))
        self.rounding_count = 0

    def add(self, rows: np.ndarray) -> None:
        # Stock ranges are the minimum and maximum of these very data, so int8 only rounds them. The mean rounding
        # error settles fast: a quarter of the positions is enough.
        steps = rows[:, ::_ROUNDING_STRIDE] * np.float32(1 / self.source.scale)
        error = np.rint(steps)
        error -= steps
        self.rounding += np.ones(error.shape[1], np.float32) @ error
        self.rounding_count += error.shape[1]
        self.rows.add(rows)

    def covariance(self) -> tuple[np.ndarray, np.ndarray]:
        """The best guess of the inputs' covariance, and how much of it is not theirs.

        Means over positions have fewer samples than what they are means of, and are correlated alike.
        """
        return self.rows.covariance(None if self.positions is None else self.positions.covariance()[0])


def _passes(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Groups of layers whose moments fit under the memory cap together."""
    groups: list[list[Layer]] = [[]]
    used = 0
    for layer in layers:
        columns = layer.weight.shape[1]
        size = 8 * len(layer.uses) * layer.groups * columns * (columns if columns <= MAX_FULL_COLUMNS else 1)
        if groups[-1] and used + size > MEMORY_CAP:
            groups.append([])
            used = 0
        groups[-1].append(layer)
        used += size
    return groups


def collect_statistics(
    model: Model,
    layers: Sequence[Layer],
    samples: Samples,
    count: int,
    *,
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
        seed: of the choice of positions.
        progress: wraps the iteration over samples (items, total, description).
    """
    rng = np.random.default_rng(seed)
    result: dict[str, LayerStatistics] = {}
    groups = _passes(layers)
    for number, group in enumerate(groups):
        label = "statistics" if len(groups) == 1 else f"statistics {number + 1}/{len(groups)}"
        with serial_blas():
            result.update(_one_pass(model, group, samples, count, rng, progress, label))
    return result


def _one_pass(
    model: Model,
    layers: Sequence[Layer],
    samples: Samples,
    count: int,
    rng: np.random.Generator,
    progress: Callable,
    label: str,
) -> dict[str, LayerStatistics]:
    inputs = list(dict.fromkeys(use.float_input for layer in layers for use in layer.uses))
    pooled = {tensor: pooled_tensor(model.graph, tensor) for tensor in inputs}
    tensors = list(dict.fromkeys([*inputs, *(tensor for tensor in pooled.values() if tensor is not None)]))
    computed = [t for t in tensors if t not in model.graph.inputs]
    interpreter = make_interpreter(probe(model, computed), threads=INFERENCE_THREADS) if computed else None
    named = input_names(model)
    moments = {
        layer.name: [
            _Moments(layer.groups, layer.weight.shape[1], use.int8_input, pooled[use.float_input]) for use in layer.uses
        ]
        for layer in layers
    }
    for feeds in progress(samples(), count, label):
        values = {t: feeds[named[t]] for t in tensors if t in named}
        if interpreter is not None:
            values.update(zip(computed, run(interpreter, feeds), strict=True))
        for layer in layers:
            for use, sums in zip(layer.uses, moments[layer.name], strict=True):
                value = values[use.float_input]
                positions = choose_positions(layer, use, value, count, rng)
                sums.add(layer.kind.patches(value, layer.reading(use), positions=positions))
                if sums.pooled is not None and sums.positions is not None:
                    sums.positions.add(values[sums.pooled].reshape(1, -1, layer.columns))
    return {layer.name: _finish(moments[layer.name]) for layer in layers}


def input_names(model: Model) -> dict[Tensor, str]:
    """What the model's inputs are called in feeds."""
    if model.signatures:
        return {tensor: name for name, tensor in model.signatures[0].inputs}
    return {tensor: tensor.name for tensor in model.graph.inputs}


def choose_positions(
    layer: Layer, use: Use, value: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Output positions of one sample whose patches are taken; None: all, where there are few.

    Args:
        layer, use: what reads the activation.
        value: the activation.
        count: number of samples.
        rng: chooses.
    """
    available = layer.kind.position_count(value, layer.reading(use))
    wanted = int(np.clip(_POSITIONS_PER_COLUMN * layer.columns // count, _MIN_POSITIONS, _MAX_POSITIONS))
    if available <= wanted:
        return None
    # One random position in each of `wanted` equal stretches: even coverage, no aliasing with the image grid.
    return ((np.arange(wanted) + rng.random(wanted)) * (available / wanted)).astype(np.int64)


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


def _finish(moments: Sequence[_Moments]) -> LayerStatistics:
    means = [sums.rows.mean() for sums in moments]
    quantized = [
        mean + sums.rounding * sums.source.scale / sums.rounding_count
        for mean, sums in zip(means, moments, strict=True)
    ]
    found = [sums.covariance() for sums in moments]
    return LayerStatistics(
        np.stack(means),
        np.stack(quantized),
        np.mean([covariance for covariance, _ in found], axis=0),
        sum(sums.rows.count for sums in moments),
        np.mean([share for _, share in found], axis=0),
    )
