"""What is known about a layer from data when its points are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from tfmpq.algorithms.factored import Factored


class Need(Enum):
    """Evidence an algorithm may ask for beyond the moments of a layer's float inputs, which all get."""

    OUTPUT_GRADIENTS = "mean squared gradients at the output channels"
    OUTPUT_MOMENT = "second moment of the gradients at the outputs"
    QUANTIZED_INPUTS = "moments of the inputs in the quantized network"
    SAMPLES = "inputs and outputs of the layer"


@dataclass(frozen=True)
class LayerStatistics:
    """Moments of a layer's input patches over the calibration data.

    Attributes:
        means: float64 (uses, G, d), E[x] for each op that uses the weight.
        quantized_means: the same of the inputs as int8 activations hold them: many small values of one sign round to
            zero, which shifts the mean.
        covariance: float64 (G, d, d), or factored for wide layers; averaged over uses. The best guess of what unseen
            data have: that of the samples, shrunk where they are few.
        positions: patches seen.
        shrinkage: float64 (G,), the share of the covariance that is not the samples' own, 0..1.
    """

    means: np.ndarray
    quantized_means: np.ndarray
    covariance: np.ndarray | Factored
    positions: int
    shrinkage: np.ndarray

    def second_moment(self) -> np.ndarray | Factored:
        """E[x x^T] in the form of ``covariance``."""
        if isinstance(self.covariance, Factored):
            return self.covariance.with_rows(np.swapaxes(self.means, 0, 1) / np.sqrt(len(self.means)))
        return self.covariance + np.einsum("ugi,ugj->gij", self.means, self.means) / len(self.means)

    def power(self) -> np.ndarray:
        """E[x^2] of every input, (G, d); not finite where what is known of the input is not."""
        known = self.covariance
        diagonal = known.diagonal if isinstance(known, Factored) else np.einsum("gdd->gd", known)
        return diagonal + np.square(self.means).mean(0)


def mean_moment(moments: Sequence[np.ndarray | Factored]) -> np.ndarray | Factored:
    """The mean of moments of one kind; whole ones are overwritten."""
    first, *others = moments
    if not others:
        return first
    if isinstance(first, Factored):
        factored = [moment for moment in moments if isinstance(moment, Factored)]
        rows = np.concatenate([moment.rows for moment in factored], axis=1) * np.float32(len(factored) ** -0.5)
        return Factored.of(np.mean([moment.own for moment in factored], axis=0), rows)
    for other in others:
        first += other
    return first / len(moments)


@dataclass(frozen=True)
class QuantizedInputs:
    """Moments of a layer's inputs x^ in the network whose layers are all rounded, and with the float inputs x.

    Attributes:
        moment: float64 (G, d, d), Cov(x^).
        cross: float64 (G, d, d), Cov(x, x^).
        mean: float64 (G, d), E[x^].
    """

    moment: np.ndarray
    cross: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class LayerSamples:
    """Some positions of the calibration data.

    Attributes:
        inputs: float32 (G, P, d), patches that the layer reads.
        outputs: float32 (P, C), what its op writes in the float network, fused activation included.
    """

    inputs: np.ndarray
    outputs: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence about one layer; what the algorithm did not ask for, or the network does not give, is None.

    Attributes:
        gradients: float64 (C,), mean squared gradient of the log-likelihood (or of random projections) at the outputs.
        output_moment: float64 (C, C), the second moment of those gradients.
        quantized: moments of the inputs in the quantized network.
        samples: inputs and outputs.
    """

    gradients: np.ndarray | None = None
    output_moment: np.ndarray | None = None
    quantized: QuantizedInputs | None = None
    samples: LayerSamples | None = None


NO_EVIDENCE = Evidence()
