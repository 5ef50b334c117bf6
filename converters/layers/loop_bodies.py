"""Weights in the bodies of loops that stay as they are."""

from __future__ import annotations

from collections.abc import Collection

from converters.layers.kinds import weights_of
from converters.layers.layer import Skipped
from converters.layers.op_layers import op_layers
from converters.tflite.graph import BuiltinOperator, Model


def skipped_in_loops(model: Model, converted: Collection[int] = ()) -> list[Skipped]:
    """Loops of the main graph that have weights of their own, and why these stay as they are.

    Args:
        model: float.
        converted: numbers of the bodies that do not stay, or of which it is known why.
    """
    loops = [
        op
        for op in model.graph.ops
        if op.code == BuiltinOperator.WHILE and op.options.bodySubgraphIndex not in converted
    ]
    if not loops:
        return []
    names, found = op_layers(model).names, []
    for op in loops:
        body = model.graphs[op.options.bodySubgraphIndex]
        held = [t for inner in body.ops for t in weights_of(inner) if t.data is not None]
        if held:
            count = sum(t.array().size for t in held)
            reason = f"its {count:,} weights are in the body of a loop, which stays as TensorFlow converts it"
            found.append(Skipped(names[op], op.name, reason))
    return found
