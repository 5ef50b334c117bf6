"""Which graphs of a file call which, and files with their graphs in another order."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from converters.tflite.graph import Graph, Model, Op, Signature


def graph_label(model: Model, number: int) -> str:
    """What messages call a graph: its signature, or its number where it has none."""
    keys = [s.key for s in model.signatures if s.graph is model.graphs[number]]
    return f"signature {keys[0]!r}" if keys else f"graph {number} ({model.graphs[number].name or 'no name'})"


def calls(op: Op, model: Model) -> Iterator[tuple[Any, str, Graph]]:
    """(options, field, graph) for every graph that an operator calls: bodies of loops, branches, decompositions."""
    for options in (op.options, getattr(op.raw, "builtinOptions2", None)):
        for name, value in vars(options).items() if hasattr(options, "__dict__") else ():
            if name.lower().endswith("subgraphindex") and 0 <= value < len(model.graphs):
                yield options, name, model.graphs[value]


def reached(graphs: Sequence[Graph], model: Model) -> list[Graph]:
    """The graphs and all that they call, each once."""
    found = list(dict.fromkeys(graphs))
    for graph in found:  # grows while it is read
        found += dict.fromkeys(g for op in graph.ops for _, _, g in calls(op, model) if g not in found)
    return found


def arranged(model: Model, graphs: Sequence[Graph], signatures: Sequence[Signature]) -> Model:
    """A copy with these graphs and signatures, in this order.

    Args:
        model: it stays as it is.
        graphs: of the model, with all that they call; the first becomes the main graph.
        signatures: of the model, whose graphs are among these.
    """
    clone = model.clone().model
    whole = dict(zip(model.graphs, clone.graphs, strict=True))
    named = dict(zip(model.signatures, clone.signatures, strict=True))
    kept = [whole[graph] for graph in graphs]
    for op in (op for graph in kept for op in graph.ops):
        if getattr(op.raw, "builtinOptions2", None) is not None:  # a clone shares it with the original
            op.raw = copy.copy(op.raw)
            op.raw.builtinOptions2 = copy.copy(op.raw.builtinOptions2)
        for options, name, called in list(calls(op, clone)):
            setattr(options, name, kept.index(called))
    clone.graphs, clone.signatures = kept, [named[s] for s in signatures]
    return clone
