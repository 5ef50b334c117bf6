"""Cut-down copies of a model that expose inner tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from converters.tflite.graph import BuiltinOperator, Graph, Model, Signature, Tensor
from converters.tflite.writer import save


def probe(
    model: Model,
    outputs: Sequence[Tensor],
    *,
    inputs: Sequence[Tensor] | Mapping[Tensor, tuple[int, ...]] | None = None,
) -> bytes:
    """The part of the main graph that computes ``outputs``, as a file of its own.

    A delegate materializes graph outputs, so this is how inner values are read at full speed. Ops that none of the
    outputs needs are left out, but for those that fill tables at the start.

    Args:
        model: the model; it is not changed.
        outputs: the file's outputs, in order; they must be computed by an op. XNNPACK never fills what a DEQUANTIZE or
            DENSIFY makes of a constant: run the file with other kernels for that.
        inputs: where to start, named ``input_0``, ``input_1``, ...; a mapping also gives the shapes that they have in
            the file. None: the model's own inputs and names.
    """
    graph = model.graph
    starts = dict.fromkeys(graph.inputs if inputs is None else inputs)
    needed = set(graph.ancestors(outputs, starts))
    ops = [op for op in graph.ops if op in needed or op.code == BuiltinOperator.CALL_ONCE]
    shapes = inputs if isinstance(inputs, Mapping) else {}
    shaped = {tensor: replace(tensor, shape=tuple(shape)) for tensor, shape in shapes.items()}
    if shaped:
        ops = [replace(op, inputs=[t if t is None else shaped.get(t, t) for t in op.inputs]) for op in ops]
    part = Graph([shaped.get(t, t) for t in starts], [shaped.get(t, t) for t in outputs], ops, graph.name)
    named = [(f"output_{i}", tensor) for i, tensor in enumerate(part.outputs)]
    if inputs is None:
        signatures = [Signature(s.key, s.inputs, named, part) for s in model.signatures if s.graph is graph][:1]
    else:
        signatures = [Signature("probe", [(f"input_{i}", t) for i, t in enumerate(part.inputs)], named, part)]
    return save(Model([part, *model.graphs[1:]], signatures, {}, model.description, model.version), tables=False)
