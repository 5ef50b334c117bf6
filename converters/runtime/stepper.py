"""Runs of a small file by the thousand, as of one step of a loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.runtime.interpreter import failures_explained, inputs


class Stepper:
    """Runs a file of fixed sizes again and again: asking the interpreter for its inputs takes longer than a small step.

    Args:
        interpreter: from :func:`converters.runtime.interpreter.make_interpreter`; nobody else runs it meanwhile.
    """

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._inputs = inputs(interpreter)
        self._outputs = [int(detail["index"]) for detail in interpreter.get_output_details()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """As :func:`converters.runtime.interpreter.run`, for feeds that have the very types and shapes of the inputs.

        Raises:
            FileFormatError: The runtime fails to run the model.
        """
        with failures_explained():
            for detail in self._inputs:
                self._interpreter.set_tensor(detail.index, feeds[detail.name])
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._outputs]
