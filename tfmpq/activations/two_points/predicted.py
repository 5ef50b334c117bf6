"""Predicted time of a float model's int8 twin, before there is one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from converters.targets import Target, work_of
from converters.tflite.graph import Model, Op


def int8_time(model: Model, target: Target, *, but: Collection[str] = ()) -> float:
    """Microseconds on one thread, were all operators in int8.

    Args:
        model: float.
        target: cost table.
        but: names of tensors whose operators are left out.
    """
    ops = (op for op in model.graph.ops if not op.outputs or op.outputs[0].name not in but)
    return sum(_microseconds(op, target) for op in ops)


def _microseconds(op: Op, target: Target) -> float:
    work = work_of(op)
    return target.microseconds(replace(work, weights="INT8" if work.weights else "", activation="INT8"))
