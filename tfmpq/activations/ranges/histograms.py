"""Values of a network's activations as histograms, weighed by what their errors cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.layers.channel_rules import width
from converters.tflite.graph import Model, Tensor, TensorType
from tfmpq.activations.ranges.readers import Reader, combined, readers_of
from tfmpq.activations.ranges.search import BINS, Histogram, bin_centers, bin_numbers
from tfmpq.activations.subject import Range
from tfmpq.activations.values.inner_values import in_parts, inner_values

Feed = Mapping[str, np.ndarray]

_VALUES = 1 << 14  # of a tensor and sample: positions are left out of larger ones
_LOOKED_AT = 4  # samples for the variances that errors are relative to
_CONSTANT = 1e-9  # variance over mean square of what does not vary but for float32's rounding


@dataclass(frozen=True, eq=False)
class Scaled:
    """The activations that have scales.

    Attributes:
        model: float.
        owners: tensor name -> the tensor whose scale it has.
        ranges: of the tensors that have a scale of their own, as the data say.
    """

    model: Model
    owners: Mapping[str, str]
    ranges: Mapping[str, Range]

    def tensors(self) -> list[Tensor]:
        """What operators write at those scales."""
        written = (t for op in self.model.graph.ops for t in op.outputs)
        return [t for t in written if self.owners.get(t.name) in self.ranges]


def histograms(scaled: Scaled, fit: Sequence[Feed], judge: Sequence[Feed]) -> tuple[dict[str, Histogram], ...]:
    """Histograms of two sets of samples, weighed alike.

    Args:
        scaled: the activations.
        fit, judge: feeds by signature input name.

    Returns:
        Of each set: owner of a scale -> all values at that scale. Costs are per value and sample, and relative to the
        variance of what they change.

    Raises:
        FileFormatError: The runtime refuses the float model.
    """
    tensors = scaled.tensors()
    found = readers_of(scaled.model.graph, scaled.owners, _variances(scaled.model, fit[:_LOOKED_AT]))
    readers = {tensor: combined(of_tensor) for tensor, of_tensor in found.items()}
    result = []
    for samples in (fit, judge):
        sums = {name: np.zeros((2, 2 * BINS)) for name in scaled.ranges}
        tops = {name: max(-low, high) for name, (low, high) in scaled.ranges.items()}
        for tensor, values in _runs(scaled.model, [t for t in tensors if readers[t]], samples):
            owner = scaled.owners[tensor.name]
            _count(sums[owner], values, width(tensor), readers[tensor], tops[owner])
        result.append({n: Histogram(tops[n], *(s / max(1, len(samples)))) for n, s in sums.items()})
    return tuple(result)


def _variances(model: Model, samples: Sequence[Feed]) -> dict[Tensor, float]:
    written = [t for op in model.graph.ops for t in op.outputs if t.type == TensorType.FLOAT32 and t.data is None]
    sums: dict[Tensor, np.ndarray] = {}
    for tensor, values in _runs(model, written, samples):
        squares = [values.var(dtype=np.float64), np.square(values, dtype=np.float64).mean()]
        sums[tensor] = sums.get(tensor, np.zeros(2)) + np.array(squares) / len(samples)
    return {t: float(own) if own > _CONSTANT * whole else math.inf for t, (own, whole) in sums.items()}


def _count(sums: np.ndarray, values: np.ndarray, channels: int, readers: Sequence[Reader], top: float) -> None:
    """Adds the values of a sample to the sums of clipping and of rounding costs, (2, bins)."""
    flat = values.reshape(-1, channels)
    flat = flat[:: -(-flat.size // _VALUES)]
    numbers = bin_numbers(flat, top).ravel()
    kept = flat != 0  # int8 holds zeros exactly
    for reader in readers:
        weights = np.where(kept, reader.weights / max(1, flat.size), 0.0).ravel()
        counted = np.bincount(numbers, weights, 2 * BINS) * reader.factor(bin_centers(top))
        sums[0] += counted
        sums[1] += counted / reader.averaged


def _runs(model: Model, tensors: Sequence[Tensor], samples: Sequence[Feed]) -> Iterator[tuple[Tensor, np.ndarray]]:
    """The tensors' values, sample by sample, parts of the tensors one after the other."""
    for part in in_parts(tensors):
        for values in inner_values(model, part, samples):
            yield from values.items()
