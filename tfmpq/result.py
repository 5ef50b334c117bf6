"""What a conversion returns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from converters.tflite.names import Names
from converters.tflite.reader import load
from tfmpq.files import write_atomic
from tfmpq.names_file import write_names
from tfmpq.plan.layer_plan import Plan
from tfmpq.report.node_data import save_node_data
from tfmpq.report.operators import Operator
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

    def save_model_explorer(self, path: str | os.PathLike[str]) -> None:
        """Writes what Model Explorer colours the file's graph by, see :mod:`tfmpq.report.node_data`.

        Args:
            path: of the file of errors, ``net.json``; the others lie beside it.

        Raises:
            OSError: A file cannot be written.
        """
        save_node_data(path, self._operators(), self.report.layers)

    def _operators(self) -> Sequence[Operator]:
        """Those of the report, by the names that the file has, which are numbers where it has been stripped."""
        known = self.report.operators
        if self.names is None:
            return known
        kinds = [operator.op for operator in known]
        graphs = (graph.ops for graph in load(self.tflite_model).graphs)
        ops = next((ops for ops in graphs if [op.name for op in ops] == kinds), ())
        return [replace(x, output=op.outputs[0].name) for x, op in zip(known, ops, strict=False) if op.outputs]
