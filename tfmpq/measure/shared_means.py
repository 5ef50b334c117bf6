"""One mean for inputs of several uses of a layer, where a bias of its own for each use is not worth its bytes.

A bias takes the mean output error of a use, ``(W - W~) E[x]`` (:func:`tfmpq.algorithms.assembly.corrected_bias`), and
equal biases are one constant in the file. In unrolled recurrent networks, whose steps share a matrix, biases of their
own would be larger than its low-bit rows.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np

from converters.layers.layer import Layer, Use
from tfmpq.algorithms.blocks import split
from tfmpq.algorithms.evidence import LayerStatistics

_BIAS_BYTES = 4  # of a row


def share_means(layer: Layer, known: LayerStatistics, row_bytes: float) -> LayerStatistics:
    """Statistics in which uses have the mean of all that can have one bias; what they differ by is covariance then.

    Own biases remove the part of the noise that comes of these differences; of rounding errors alike in all directions
    it is their part of the inputs' power. Further points, at ``row_bytes`` a row, remove nearly all of it: own biases
    are kept where they remove more by the byte.

    Args:
        layer: with all its uses.
        known: of its inputs.
        row_bytes: of one point of one row.
    """
    alike: dict[Hashable, list[int]] = {}
    for number, use in enumerate(layer.uses):
        alike.setdefault(_bias_kind(layer, use), []).append(number)
    saved = _BIAS_BYTES * (len(layer.uses) - len(alike))
    if not saved:
        return known
    means, quantized = known.means.copy(), known.quantized_means.copy()
    for numbers in alike.values():
        means[numbers] = known.means[numbers].mean(axis=0)
        quantized[numbers] = known.quantized_means[numbers].mean(axis=0)
    apart = split(np.swapaxes(known.means - means, 0, 1), len(known.covariance))
    covariance = known.covariance + np.einsum("gui,guj->gij", apart, apart) / len(means)
    between, whole = np.square(apart).sum() / len(means), np.einsum("gii->", covariance)
    if between * row_bytes >= saved * whole:
        return known
    return replace(known, means=means, quantized_means=quantized, covariance=covariance)


def _bias_kind(layer: Layer, use: Use) -> Hashable:
    """What is equal where biases can be one constant: int32 codes are in steps of the input."""
    return use.bias.tobytes(), None if layer.reads_float else float(use.int8_input.scale)
