"""Cut-down copies of a model that expose inner tensors."""

from __future__ import annotations

from collections.abc import Sequence

from converters.tflite.graph import Graph, Model, Op, Signature, Tensor, save


def probe(model: Model, outputs: Sequence[Tensor], *, inputs: Sequence[Tensor] | None = None) -> bytes:
    """The part of the main graph that computes ``outputs``, as a file of its own.

    A delegate materializes graph outputs, so this is how inner values are read at full speed. Ops that none of the
    outputs needs are left out.

    Args:
        model: the model; it is not changed.
        outputs: the file's outputs, in order; they must be computed by an op.
        inputs: where to start, named ``input_0``, ``input_1``, ...; None for the model's own inputs and names.
    """
    graph = model.graph
    producers = graph.producers()
    starts = set(graph.inputs if inputs is None else inputs)
    needed: set[Op] = set()
    stack = [t for t in outputs if t not in starts]
    while stack:
        op = producers.get(stack.pop())
        if op is not None and op not in needed:
            needed.add(op)
            stack += [t for t in op.inputs if t is not None and t not in starts]
    part = Graph(
        list(graph.inputs if inputs is None else inputs),
        list(outputs),
        [o for o in graph.ops if o in needed],
        graph.name,
    )
    named = [(f"output_{i}", tensor) for i, tensor in enumerate(outputs)]
    if inputs is None:
        signatures = [Signature(s.key, s.inputs, named, part) for s in model.signatures if s.graph is graph][:1]
    else:
        signatures = [Signature("probe", [(f"input_{i}", t) for i, t in enumerate(inputs)], named, part)]
    return save(Model([part, *model.graphs[1:]], signatures, {}, model.description, model.version))
