"""What a conversion returns."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from tfmpq.files import write_atomic
from tfmpq.plan.layer_plan import Plan
from tfmpq.report.report import Report


@dataclass(frozen=True, eq=False)
class ConversionResult:
    """A converted model.

    Attributes:
        tflite_model: content of the .tflite file.
        plan: bits and points of every layer.
        report: what was done and what it costs; print it.
        float_model, stock_model: the float and the stock int8 file it was made from, for comparisons.
        eight_bit_model: the file with one 8-bit point in every row: held against ``float_model`` it tells what int8
            activations lose, and ``tflite_model`` against it what few bits of weights do.
    """

    tflite_model: bytes = field(repr=False)
    plan: Plan = field(repr=False)
    report: Report = field(repr=False)
    float_model: bytes = field(repr=False)
    stock_model: bytes = field(repr=False)
    eight_bit_model: bytes = field(repr=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the .tflite file, in full or not at all.

        Raises:
            OSError: The file cannot be written; an existing one is untouched.
        """
        write_atomic(path, self.tflite_model)
