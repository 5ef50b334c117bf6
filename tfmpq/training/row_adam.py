"""Adam whose rate is in units of each variable's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


class RowAdam(keras.optimizers.Adam):
    """Adam that moves variables by ``learning_rate`` times a unit of their own, such as the step of each row.

    Args:
        learning_rate: in those units; a number or a schedule.
        units: of the variables, in the order in which they are trained; their shapes broadcast to the variables'.
    """

    def __init__(self, learning_rate: Any, units: Sequence[np.ndarray]) -> None:
        super().__init__(learning_rate, name="row_adam")
        self._units = [np.asarray(unit, np.float32) for unit in units]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of Adam."""
        super().update_step(gradient, variable, learning_rate * self._units[self._get_variable_index(variable)])
