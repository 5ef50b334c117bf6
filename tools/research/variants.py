"""Outputs of a network with float activations, some of its layers rounded: what stands before a change is run once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Graph, Model, Tensor
from converters.tflite.probe import probe
from tfmpq.measure.sensitivity import RoundedWeight, is_probability, with_weight
from tfmpq.stages import Rounded
from tfmpq.threads import INFERENCE_THREADS

_MEMORY = 1 << 29  # bytes of activations that are kept at once
_LEAST = 1e-12

Rows = Mapping[str, np.ndarray]  # layer name -> (C,) points of its rows


@dataclass(frozen=True)
class Change:
    """One layer rounded otherwise than in the network that variants depart from.

    Attributes:
        label: what the variant is called.
        layer: that is changed.
        counts: (C,) points of its rows.
    """

    label: str
    layer: Rounded
    counts: np.ndarray


def rounded(layer: Rounded, counts: np.ndarray) -> RoundedWeight:
    """A layer's weight and biases with ``counts`` points in its rows."""
    weight = layer.weight(counts)
    return RoundedWeight(weight.reconstruct(np.float32), layer.biases(weight))


def with_rows(model: Model, layers: Sequence[Rounded], weights: Mapping[str, RoundedWeight]) -> Model:
    """The network with the layers named in ``weights`` rounded so."""
    for layer in layers:
        if layer.name in weights:
            model = with_weight(model, layer.layer, weights[layer.name])
    return model


def variants(
    model: Model, layers: Sequence[Rounded], rows: Rows, changes: Sequence[Change], images: np.ndarray
) -> dict[str, list[np.ndarray]]:
    """Outputs of the network with ``rows``, under the label "", and of every change of it.

    Args:
        model: float model.
        layers: of which those named in ``rows`` are rounded.
        rows: their points in the network that changes depart from; other layers are float in it.
        changes: each a network of its own; labels must differ.
        images: samples first, for the network's one input.

    Returns:
        label -> one array (samples, ...) an output.
    """
    position = {op: i for i, op in enumerate(model.graph.ops)}
    first = {c.label: min(position[use.float_op] for use in c.layer.layer.uses) for c in changes}
    ordered = sorted(changes, key=lambda change: first[change.label])
    weights = {layer.name: rounded(layer, rows[layer.name]) for layer in layers if layer.name in rows}
    start = with_rows(model, layers, weights)
    step = max(1, int(_MEMORY // max(_widest(model.graph), 1)))
    parts: dict[str, list[list[np.ndarray]]] = {label: [] for label in ("", *(c.label for c in changes))}
    for begin in range(0, len(images), step):
        kept = [{start.graph.inputs[0]: image[None]} for image in images[begin : begin + step]]
        _collect(parts[""], _run(start, list(start.graph.inputs), list(start.graph.outputs), kept))
        for change in ordered:
            cut = _live(start.graph, first[change.label])
            kept = _advanced(start, kept, cut)
            same = {name: weight for name, weight in weights.items() if name != change.layer.name}
            changed = rounded(change.layer, change.counts)
            other = with_weight(with_rows(model, layers, same), change.layer.layer, changed)
            _collect(parts[change.label], _run(other, cut, list(other.graph.outputs), kept))
    return {label: [np.concatenate(p) for p in zip(*found, strict=True)] for label, found in parts.items()}


def distances(reference: Sequence[np.ndarray], other: Sequence[np.ndarray], *, probability: bool) -> np.ndarray:
    """(samples,) KL in nats to a probability output, else squared error over the output's variance, summed."""
    if probability:
        p, q = (np.asarray(x[0], np.float64).reshape(len(x[0]), -1) + _LEAST for x in (reference, other))
        return np.maximum((p * np.log(p / q)).sum(axis=1), 0)
    total = np.zeros(len(reference[0]))
    for a, b in zip(reference, other, strict=True):
        x, y = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (a, b))
        total += ((x - y) ** 2).mean(axis=1) / max(float(x.var()), _LEAST)
    return total


def is_classifier(model: Model) -> bool:
    """Whether distances of the network's outputs are KL."""
    return is_probability(model.graph)


def _collect(parts: list[list[np.ndarray]], outputs: Iterator[list[np.ndarray]]) -> None:
    parts.append([np.concatenate(values) for values in zip(*outputs, strict=True)])


def _widest(graph: Graph) -> int:
    """Bytes of the most activations that are alive at once, of one sample."""
    return max(sum(4 * int(np.prod(tensor.shape)) for tensor in _live(graph, index)) for index in range(len(graph.ops)))


def _live(graph: Graph, index: int) -> list[Tensor]:
    """Activations made before op ``index`` that are still needed from it on."""
    later = {t for op in graph.ops[index:] for t in op.inputs if t is not None} | set(graph.outputs)
    before = [*graph.inputs, *(t for op in graph.ops[:index] for t in op.outputs)]
    return [t for t in dict.fromkeys(before) if t in later]


def _advanced(model: Model, kept: list[dict[Tensor, np.ndarray]], cut: list[Tensor]) -> list[dict[Tensor, np.ndarray]]:
    missing = [t for t in cut if t not in kept[0]]
    if missing:
        found = _run(model, list(kept[0]), missing, kept)
        kept = [{**values, **dict(zip(missing, new, strict=True))} for values, new in zip(kept, found, strict=True)]
    return [{t: values[t] for t in cut} for values in kept]


def _run(
    model: Model, inputs: list[Tensor], outputs: list[Tensor], kept: Sequence[Mapping[Tensor, np.ndarray]]
) -> Iterator[list[np.ndarray]]:
    """Outputs of each sample; copied, as an interpreter's own arrays are written again."""
    file = probe(model, outputs, inputs={t: kept[0][t].shape for t in inputs})
    interpreter = make_interpreter(file, threads=INFERENCE_THREADS)
    for values in kept:
        yield run(interpreter, {f"input_{i}": values[t] for i, t in enumerate(inputs)})
