"""Checks of the graphs of an emitted file that are not the main one: they hold the same integers, and they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.layers.kinds import weights_of
from converters.runtime.child_process import refusals
from converters.runtime.interpreter import Kernels
from converters.tflite.calls import arranged, graph_label
from converters.tflite.file import File
from converters.tflite.graph import Graph, Model, Tensor
from converters.tflite.writer import save
from tfmpq.emit.comparison import fault
from tfmpq.stages import Written

_KERNELS: tuple[Kernels, ...] = ("xnnpack", "builtin")


def check_other_graphs(file: File, stock: File, layers: Sequence[Written]) -> None:
    """Checks the graphs in which layers were written beside the main one.

    Args:
        file: the emitted file.
        stock: the file it was made from. What does not run there need not run here.
        layers: as written.

    Raises:
        ValidationError: A weight is not the main graph's, or a signature does not run any more.
    """
    numbers = sorted({number for layer in layers for number in layer.elsewhere})
    main = _weights(file.model.graph)
    for number in numbers:
        own = _weights(file.model.graphs[number])
        for layer in layers:
            written = layer.elsewhere.get(number)
            for name in (weight.tensor for weight in written.weights) if written is not None else ():
                if name not in own or own[name].data is not main[name].data:
                    where = graph_label(file.model, number)
                    raise fault(f"layer {layer.name!r}: {where} does not read the weight {name!r} of the main graph")
    for number in numbers:
        if any(s.graph is file.model.graphs[number] for s in file.model.signatures):
            _check_runs(file.model, stock.model, number)


def _weights(graph: Graph) -> dict[str, Tensor]:
    return {tensor.name: tensor for op in graph.ops for tensor in weights_of(op)}


def _check_runs(model: Model, stock: Model, number: int) -> None:
    """Runs a signature on zeros, in a process of its own."""
    for name, found in refusals(_in_front(model, number), {}, _KERNELS).items():
        if name not in refusals(_in_front(stock, number), {}, [name]):
            where = graph_label(model, number)
            raise fault(f"{where} of the emitted file does not run with {name} kernels: {found.reason}")


def _in_front(model: Model, number: int) -> bytes:
    main = model.graphs[number]
    graphs = [main, *(graph for graph in model.graphs if graph is not main)]
    return save(arranged(model, graphs, sorted(model.signatures, key=lambda s: s.graph is not main)))


def sharing_notes(layers: Sequence[Written], model: Model, chosen: Sequence[int]) -> Iterator[str]:
    """Which other graphs have the points of layers too.

    Args:
        layers: as written.
        model: the twin that they were written in.
        chosen: numbers of the graphs whose weights were to change.
    """
    for number in sorted({number for layer in layers for number in layer.elsewhere}):
        count = sum(number in layer.elsewhere for layer in layers)
        unasked = "" if number in chosen else ", although it was not named: they are the same weights"
        yield f"{graph_label(model, number)} has the points of {count} of {len(layers)} layers too{unasked}"
