"""What may take the place of a simulation's fixed rounding: quantizers that learn, of weights and of inputs.

They are Keras layers, so that a :class:`tfmpq.keras.Simulate` layer tracks, saves and trains their variables. Those of
this package are in :mod:`tfmpq.training`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from converters.points import MultipointWeight
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.source import InputCodes


class WeightQuantizer(Protocol):
    """Quantizes the weight of one layer, in TensorFlow operations that XLA can compile.

    Attributes:
        trains_weight: whether the float weight is trained. Otherwise it stays as it is: optimizers do not get it, nor
            does the loss have the penalties of its regularizer.
    """

    trains_weight: bool

    def __call__(self, values: Any, training: bool | None = None) -> Any:
        """The quantized weight, float32 of the same shape, with gradients for ``values`` and own variables."""
        ...

    def start(self, weight: np.ndarray) -> None:
        """Sets the variables to begin with for a float weight."""
        ...

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """What the weight is in inference, exactly; rows as in :func:`tfmpq.simulation.points.channel_rows`.

        They have to stay points of as many bits when the sign of a row is turned around; where they do not, see
        :meth:`row_signs`.
        """
        ...

    def row_signs(self) -> np.ndarray | None:
        """Signs (C,): the points are those of the weight's rows times these; None: of the rows themselves."""
        ...

    def row_steps(self) -> Any | None:
        """Steps of rows of one point each, float32 (C,); None: the file may write rows of other steps."""
        ...

    def unfinished(self) -> str:
        """Why training does not compute with the points yet, as a clause; empty: it does."""
        ...


class InputQuantizer(Protocol):
    """Quantizes what one layer reads."""

    def __call__(self, values: Any, training: bool | None = None) -> Any:
        """The quantized values, with gradients."""
        ...

    def start_at(self, values: np.ndarray) -> None:
        """Sets the variables to begin with, for inputs like these float32 values (N,); N may be 0."""
        ...

    def codes(self) -> InputCodes:
        """What the layer reads in inference."""
        ...

    def int8_scale(self) -> Any:
        """Scale of the int8 tensor that holds it in the file, float32 of rank 0."""
        ...


@dataclass(frozen=True, eq=False)
class Quantizers:
    """What a simulated layer computes with.

    Attributes:
        settings: bits and most points of its weight in the file.
        weight: in place of points that follow from the float weight; None: those.
        inputs: in place of the int8 range that data have; None: that.
    """

    settings: SimulationSettings
    weight: WeightQuantizer | None = None
    inputs: InputQuantizer | None = None


@dataclass(frozen=True)
class LayerToTrain:
    """What is known of an annotated layer when its quantizers are made.

    Attributes:
        path: where it is in the model.
        settings: what it is annotated with; the points of every channel are set.
        channel_axes: of its weight, see :func:`tfmpq.simulation.points.channel_rows`.
        is_end: whether it reads an input of the model, or is the last layer with weights before an output.
        is_depthwise: whether each of its channels reads one channel only, in the file.
        reads_unsigned: whether what it reads is never negative on the representative data.
    """

    path: str
    settings: SimulationSettings
    channel_axes: tuple[int, ...]
    is_end: bool
    is_depthwise: bool
    reads_unsigned: bool


MakeQuantizers = Callable[[LayerToTrain], Quantizers]
