"""What conversion multiplies into the rows of a weight, and the batch normalization it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tfmpq.keras.checks import is_graph
from tfmpq.keras.wrappers import Annotate

SAME_FACTOR = 1e-3  # float32 folding differs in the last bits; another factor differs in the first


def norms_behind(model: Any) -> dict[int, Any]:
    """The batch normalization that reads an annotated layer and nothing else, by the id of the :class:`Annotate`.

    Both are used once, nothing else reads the layer, and nothing happens in between.
    """
    graphs = list(_graphs(model, set()))
    uses = Counter(id(layer) for graph in graphs for layer, _ in _calls(graph))
    result = {}
    for graph in graphs:
        for layer, readers in _calls(graph):
            if not isinstance(layer, Annotate) or getattr(layer.layer, "activation", None) not in _LINEAR:
                continue
            if len(readers) == 1 and type(readers[0]) is keras.layers.BatchNormalization:
                norm = readers[0]
                if uses[id(layer)] == uses[id(norm)] == 1 and _normalizes_channels(norm):
                    result[id(layer)] = norm
    return result


_LINEAR = (None, keras.activations.linear)


def _normalizes_channels(norm: Any) -> bool:
    return norm.axis in (-1, len(norm.input.shape) - 1)


def _graphs(model: Any, seen: set[int]) -> Iterator[Any]:
    if id(model) not in seen:
        seen.add(id(model))
        yield model
        for layer in model.layers:
            if is_graph(layer):
                yield from _graphs(layer, seen)


def _calls(model: Any) -> list[tuple[Any, list[Any]]]:
    """(layer, layers that read its output; None for other readers) for every call in the model."""
    if isinstance(model, keras.Sequential):
        return [(layer, [reader]) for layer, reader in zip(model.layers, [*model.layers[1:], None], strict=True)]
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    readers: dict[int, list[Any]] = {id(tensor): [None] for tensor in model.outputs}
    for node in nodes:
        # A call with arguments of its own, such as training=False, is not what the layer does by itself.
        plain = all(value is None for value in node.arguments.kwargs.values())
        for tensor in node.arguments.keras_tensors:
            readers.setdefault(id(tensor), []).append(node.operation if plain else None)
    return [
        (node.operation, [reader for tensor in node.outputs for reader in readers.get(id(tensor), [])])
        for node in nodes
    ]


def row_factors(folded: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(C,) factors that turn the rows (C, d) of a Keras weight into those of the file; 0 for rows of zeros."""
    wide = rows.astype(np.float64)
    energy = (wide**2).sum(axis=1)
    return (folded * wide).sum(axis=1) / np.where(energy > 0, energy, 1.0)


def norm_factors(norm: Any, channels: int) -> np.ndarray:
    """(C,) what the normalization multiplies its input by in inference."""
    gamma = np.ones(channels) if norm.gamma is None else np.asarray(norm.gamma, np.float64)
    return gamma / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)


def is_factor_of(norm: Any, factors: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the factors (C,) of the rows (C, d) are those of the normalization, up to one for all.

    The latter comes from a rescaling of the layer's input or output.
    """
    own = norm_factors(norm, len(factors))
    alive = rows.any(axis=1) & (own != 0)
    ratios = factors[alive] / own[alive]
    return bool(ratios.size and np.allclose(ratios, ratios[0], rtol=SAME_FACTOR, atol=0))
