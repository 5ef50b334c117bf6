"""What a runtime computes, held against the reference: integers, or float activations rounded row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.errors import ValidationError
from converters.reference.dynamic_comparison import compare_dynamic
from converters.reference.id_ops import run_id_op
from converters.reference.integer_ops import run_op
from converters.runtime.activations import Values
from converters.runtime.interpreter import Kernels
from converters.tflite.graph import Op, TensorType

_ADVICE = (
    "This is a fault of the conversion: please report it with the model. "
    "A recipe rule with keep='int8' leaves the layer as stock has it."
)


def fault(what: str) -> ValidationError:
    """The error of a file that is not what it should be."""
    return ValidationError(f"{what.rstrip('.')}. {_ADVICE}")


class Tally:
    """Differences from the reference, over operators, samples and kernels.

    Attributes:
        worst: largest difference of integers, in output steps.
        differing, total: outputs that differ, and all, of integers.
        deviation: largest difference of float outputs, relative to what kernels are allowed.
    """

    def __init__(self) -> None:
        self.worst = self.differing = self.total = 0
        self.deviation = 0.0

    def compare(self, layer: str, op: Op, values: Values, kernels: Kernels) -> None:
        """Adds one operator of one run.

        Raises:
            ValidationError: It is more than one step off, or its float outputs are further off than rounding explains.
        """
        where = f"layer {layer!r}: {op.name} writing {op.outputs[0].name!r}"
        compare = self._compare_integers
        if all(tensor.type == TensorType.FLOAT32 for tensor in op.outputs):
            compare = self._compare_floats
        elif all(tensor.quantization is None for tensor in op.outputs):
            compare = self._compare_ids
        try:
            compare(where, op, values, kernels)
        except NotImplementedError as error:
            raise fault(f"{where} cannot be checked: {error}") from error

    def _compare_floats(self, where: str, op: Op, values: Values, kernels: Kernels) -> None:
        found = compare_dynamic(op, values, kernels)
        if found.ratio > 1:
            raise fault(f"{where} is not what its integers give with {kernels} kernels: {found.where}")
        self.deviation = max(self.deviation, found.ratio)

    def _compare_ids(self, where: str, op: Op, values: Values, kernels: Kernels) -> None:
        for tensor, ours in zip(op.outputs, _expected(run_id_op, where, op, values), strict=True):
            if not np.array_equal(values[tensor], ours):
                raise fault(f"{where} gives other ids with {kernels} kernels than its map")

    def _compare_integers(self, where: str, op: Op, values: Values, kernels: Kernels) -> None:
        for tensor, ours in zip(op.outputs, _expected(run_op, where, op, values), strict=True):
            theirs = values[tensor]
            if ours.shape != theirs.shape:
                raise fault(f"{where} gives shape {theirs.shape} with {kernels} kernels, not {ours.shape}")
            steps = np.abs(ours.astype(np.int16) - theirs)
            worst = int(steps.max(initial=0))
            if worst > 1:  # converters.reference.integer_ops says why kernels may be one step off, and never two
                at = np.unravel_index(steps.argmax(), steps.shape)
                raise fault(
                    f"{where} is up to {worst} steps off its integers with {kernels} kernels "
                    f"({np.count_nonzero(steps > 1)} of {steps.size} outputs by more than one; "
                    f"at {[int(i) for i in at]} {theirs[at]} instead of {ours[at]})"
                )
            self.worst = max(self.worst, worst)
            self.differing += int(np.count_nonzero(steps))
            self.total += steps.size


def _expected(reference: Callable[..., list[np.ndarray]], where: str, op: Op, values: Values) -> list[np.ndarray]:
    """What an operator's integers give."""
    try:
        return reference(op, [None if t is None else values.get(t) for t in op.inputs])
    except ValidationError as error:
        raise fault(f"{where}: {error}") from error
