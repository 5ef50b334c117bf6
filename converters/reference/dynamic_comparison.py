"""What a runtime computes with float activations and integer weights, held against the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from converters.reference.dynamic_ops import Computed, run_dynamic_op
from converters.runtime.interpreter import Kernels
from converters.tflite.graph import Op, Tensor


class Deviation(NamedTuple):
    """The largest deviation from the reference.

    Attributes:
        ratio: relative to what kernels are allowed; above 1 the operator computes something else.
        where: the place and the numbers in words, and how many are wrong.
        wrong: how many numbers deviate by more than they may.
    """

    ratio: float
    where: str
    wrong: int = 0


def compare_dynamic(op: Op, values: Mapping[Tensor, np.ndarray], kernels: Kernels) -> Deviation:
    """Compares one operator of one run.

    Args:
        op: as for :func:`converters.reference.dynamic_ops.run_dynamic_op`.
        values: what the operator read and wrote, by tensor.
        kernels: what ran it.

    Raises:
        NotImplementedError: There is no reference for it.
    """
    expected = run_dynamic_op(op, [None if t is None else values.get(t) for t in op.inputs], kernels=kernels)
    found = [
        min((_deviation(ours, tensor, values[tensor]) for ours in choices), key=lambda d: (d.wrong, d.ratio))
        for choices, tensor in zip(expected, op.outputs, strict=True)
    ]
    return max(found, key=lambda d: d.ratio)


def _deviation(ours: Computed, tensor: Tensor, theirs: np.ndarray) -> Deviation:
    if ours.values.shape != theirs.shape:
        return Deviation(np.inf, f"{tensor.name!r} has shape {theirs.shape}, not {ours.values.shape}", theirs.size)
    # Where float32 may be left, anything is allowed.
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(theirs.astype(np.float64) - ours.values)
        ratios = np.where(off == 0, 0.0, off / ours.tolerance)
    ratios[np.isinf(ours.tolerance)] = 0
    ratios[np.isnan(ratios)] = np.inf
    if not ratios.size:
        return Deviation(0.0, f"{tensor.name!r} is empty")
    at = np.unravel_index(ratios.argmax(), ratios.shape)
    place = f"{tensor.name!r} at {[int(i) for i in at]} is {theirs[at]:.9g}"
    place += f" instead of {ours.values[at]:.9g} +- {ours.tolerance[at]:.3g}"
    wrong = int(np.count_nonzero(ratios > 1))
    if wrong:  # a wrong sum and wrong sums everywhere have different causes
        place += f"; {wrong} of {ratios.size} outputs are further off than they may be"
    return Deviation(float(ratios[at]), place, wrong)
