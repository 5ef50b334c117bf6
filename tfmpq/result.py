"""What a conversion returns."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from converters.tflite.names import Names
from tfmpq.files import write_atomic
from tfmpq.names_file import write_names
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
        names: of ``tflite_model``'s tensors, where it has none (``names="strip"``); None: they are in it.
    """

    tflite_model: bytes = field(repr=False)
    plan: Plan = field(repr=False)
    report: Report = field(repr=False)
    float_model: bytes = field(repr=False)
    stock_model: bytes = field(repr=False)
    eight_bit_model: bytes = field(repr=False)
    names: Names | None = field(repr=False, default=None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the .tflite file, in full or not at all; names that it does without go to a file beside it.

        Raises:
            OSError: A file cannot be written; an existing one is untouched.
        """
        if self.names is not None:
            write_names(path, self.names)  # first: who finds the model finds its names
        write_atomic(path, self.tflite_model)
