"""How often each row of a table is looked up: what tables have in place of input moments."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from converters.layers.layer import Layer
from converters.reference.position_gradients import Relevance
from converters.tflite.graph import Model, Tensor
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.measure.joint import reader
from tfmpq.measure.moments import Samples

_ALL: Relevance = MappingProxyType({})


def collect_lookups(
    model: Model, layers: Sequence[Layer], samples: Samples, relevance: Relevance = _ALL
) -> dict[str, LayerStatistics]:
    """Statistics of tables: the probability of every row; their "inputs" are taken as uncorrelated, of unit variance.

    One pass over the samples, through what computes the ids only. Memory is a number a row.

    Args:
        model: the float model.
        layers: tables found in it.
        samples: the representative data.
        relevance: of tables that are looked up at positions that do not count (filling behind a mask), those that do.
    """
    if not layers:
        return {}
    counts = count_lookups(model, layers, samples, relevance)
    return {layer.name: lookup_statistics(layer, counts[layer.name]) for layer in layers}


def count_lookups(
    model: Model, layers: Sequence[Layer], samples: Samples, relevance: Relevance = _ALL
) -> dict[str, np.ndarray]:
    """Layer name -> int64 (V,), how often each row is looked up, by all uses of the table."""
    read = reader(model, ids_of(layers))
    counts = {layer.name: np.zeros(layer.channels, np.int64) for layer in layers}
    for number, feeds in enumerate(samples()):
        values = read(feeds)
        for layer in layers:
            for use in layer.uses:
                ids = values[use.float_input].reshape(-1)
                ids = ids[relevance[layer.name][number]] if layer.name in relevance else ids
                counts[layer.name] += np.bincount(ids, minlength=layer.channels)
    return counts


def ids_of(layers: Sequence[Layer]) -> list[Tensor]:
    """The ids that tables are looked up by, each once."""
    return list(dict.fromkeys(use.float_input for layer in layers for use in layer.uses))


def row_probabilities(counts: np.ndarray) -> np.ndarray:
    """(V,) probability that a lookup in unseen data is for each row, by Good and Turing's estimate.

    The share of lookups of rows that the data do not have is about the share of lookups of rows that they have once:
    rows never seen have that in common, and are worth their norm by it; the others have the rest in proportion to their
    counts. A fixed pseudo-count a row would give most of the weight to rows never seen wherever a vocabulary is much
    larger than the data.

    Args:
        counts: (V,), lookups of every row in the data.
    """
    total, unseen = int(counts.sum()), int((counts == 0).sum())
    if total == 0 or unseen == 0:
        return counts / total if total else np.full(len(counts), 1 / len(counts))
    once = max(int((counts == 1).sum()), 1)  # data without rare rows may still lack one
    # No row that was never seen is likelier than one that was seen once.
    missing = min(once / (total + 1), unseen / (total + unseen))
    return np.where(counts == 0, missing / unseen, counts / total * (1 - missing))


def lookup_statistics(layer: Layer, counts: np.ndarray) -> LayerStatistics:
    """Statistics of a table of which each row was looked up so often."""
    zero = np.zeros((len(layer.uses), 1, layer.columns))
    whole = np.eye(layer.columns)[None]
    return LayerStatistics(zero, zero, whole, int(counts.sum()), np.zeros(1), row_probabilities(counts))
