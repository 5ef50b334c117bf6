"""What is known about a layer from data when its points are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from tfmpq.algorithms.blocks import join, split


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
        covariance: float64 (G, d, d), or blocks (B, b, b) of wide layers (:mod:`tfmpq.algorithms.blocks`), averaged
            over uses. The best guess of what unseen data have: that of the samples, shrunk where they are few.
        positions: patches seen.
        shrinkage: float64 (G,) or (B,), the share of the covariance that is not the samples' own, 0..1.
        rows: float64 (C,), of a table: the probability that a lookup is for each row. None: rows are multiplied with
            every input.
    """

    means: np.ndarray
    quantized_means: np.ndarray
    covariance: np.ndarray
    positions: int
    shrinkage: np.ndarray
    rows: np.ndarray | None = None

    @property
    def blocks(self) -> int | None:
        """How many blocks of columns the moments are in; 1: whole, None: a table has none."""
        if self.rows is not None:
            return None
        groups = self.means.shape[1]
        return 1 if len(self.covariance) == groups else len(self.covariance)

    def second_moment(self) -> np.ndarray:
        """E[x x^T] in the form of ``covariance``."""
        means = split(np.swapaxes(self.means, 0, 1), len(self.covariance))
        return self.covariance + np.einsum("gui,guj->gij", means, means) / len(self.means)

    def power(self) -> np.ndarray:
        """E[x^2] of every input, (G, d); not finite where what is known of the input is not."""
        _, groups, columns = self.means.shape
        diagonal = np.einsum("gdd->gd", self.covariance)
        return join(diagonal[:, None], groups, columns)[:, 0] + np.square(self.means).mean(0)


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
        bias: float32 (C,), zeros where the op has none.
        low, high: ends that the fused activation clips at, infinite where it does not.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    bias: np.ndarray
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence about one layer; what the algorithm did not ask for, or the network does not give, is None.

    Attributes:
        gradients: float64 (C,), mean squared gradient of the log-likelihood (or of random projections) at the outputs.
        output_moment: float64 (C, C), the second moment of those gradients.
        quantized: moments of the inputs in the quantized network.
        samples: inputs and outputs.
        parameter: what suits the network best of the algorithm's ``parameters``, or between them.
    """

    gradients: np.ndarray | None = None
    output_moment: np.ndarray | None = None
    quantized: QuantizedInputs | None = None
    samples: LayerSamples | None = None
    parameter: float | None = None


NO_EVIDENCE = Evidence()
