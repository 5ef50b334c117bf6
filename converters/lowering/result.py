"""What a lowering says it wrote, so that the saved file can be checked against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EmittedWeight:
    """Integers that must stand in the file.

    Attributes:
        layer: layer name.
        tensor: name of the weight tensor in the file.
        codes: int8 (rows, d).
        scale: float32 (rows,).
    """

    layer: str
    tensor: str
    codes: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class LoweredLayer:
    """One layer as written.

    Attributes:
        layer: layer name.
        lowering: the lowering that was used.
        weights: the integer rows written.
        outputs: output tensor names of every op written for the layer, unique in the file.
    """

    layer: str
    lowering: str
    weights: tuple[EmittedWeight, ...]
    outputs: tuple[str, ...]
