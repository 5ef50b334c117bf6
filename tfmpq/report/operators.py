"""The operators of an emitted file, in their order: whose they are, and who runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from converters.layers.op_layers import op_layers
from converters.runtime.delegation import Coverage
from converters.tflite.graph import Model


@dataclass(frozen=True)
class Operator:
    """One operator of the main graph; its number is its place.

    Attributes:
        op: such as ``CONV_2D``.
        layer: its Keras layer, as far as the file's names tell.
        output: name of the first tensor that it writes; "": it writes none.
        delegated: whether the delegate (XNNPACK) runs it.
        weighted: whether it is one of those that a layer of the report is written as.
    """

    op: str
    layer: str
    output: str
    delegated: bool
    weighted: bool


def operators_of(model: Model, coverage: Coverage, written: Mapping[str, str]) -> tuple[Operator, ...]:
    """The operators of a file.

    Args:
        model: the file.
        coverage: what the delegate takes of it.
        written: name of a tensor that an operator of a layer writes -> the layer.
    """
    left = {number for number, _ in coverage.left}
    guessed = op_layers(model).names
    found = []
    for number, op in enumerate(model.graph.ops):
        output = op.outputs[0].name if op.outputs else ""
        layer = written.get(output)
        found.append(Operator(op.name, layer or guessed[op], output, number not in left, layer is not None))
    return tuple(found)
