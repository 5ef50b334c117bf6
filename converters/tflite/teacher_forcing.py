"""A copy of a file in which every layer reads given values instead of what the layer before it computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from converters.tflite.graph import Graph, Model, Signature, Tensor
from converters.tflite.writer import save


def teacher_forced(model: Model, tensors: Sequence[Tensor]) -> bytes:
    """Cuts the main graph at ``tensors``: each is computed, as output i, but whoever reads it reads input i instead.

    So one run shows what every piece between two cuts makes of given values. The model's own inputs come first and are
    called ``input_0``, ``input_1``, ...; the cuts that something reads follow as ``cut_<i>``.

    Args:
        model: the model; it is not changed.
        tensors: activations that operators write.
    """
    graph = model.graph
    given = {t: replace(t, name=f"{t.name}/given") for t in tensors}
    ops = [replace(op, inputs=[t if t is None else given.get(t, t) for t in op.inputs]) for op in graph.ops]
    kept = Graph(graph.inputs, graph.outputs, ops).ancestors(tensors)
    read = {t for op in kept for t in op.inputs}
    cuts = [(f"cut_{i}", given[t]) for i, t in enumerate(tensors) if given[t] in read]
    own = [(f"input_{i}", t) for i, t in enumerate(graph.inputs) if t in read]
    part = Graph([t for _, t in (*own, *cuts)], list(tensors), kept, graph.name)
    outputs = [(f"output_{i}", t) for i, t in enumerate(tensors)]
    signature = Signature("teacher_forced", [*own, *cuts], outputs, part)
    return save(Model([part, *model.graphs[1:]], [signature], {}, model.description, model.version))
