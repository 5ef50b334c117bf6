"""What one layer's rounding costs at the network's output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.layers.layer import Layer
from converters.runtime.interpreter import run
from converters.runtime.probes import probe_interpreter
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor
from tfmpq.measure.moments import input_names
from tfmpq.threads import INFERENCE_THREADS

MEMORY_CAP = 1 << 29  # bytes of cached activations at one cut; fewer samples are used where they are larger
_TINY = 1e-12
# Of a confident network's KL a few doubtful images carry nearly all. At this temperature all images count, and layers
# compare on unseen images as they do on these: spread of measured over predicted cost x1.18 instead of x1.32 on
# MobileNetV1, x1.38 instead of x2.07 on ResNet-20; 2 to 6 are alike.
TEMPERATURE = 4.0


@dataclass(frozen=True)
class RoundedWeight:
    """A layer's weight as one point would have it.

    Attributes:
        weight: float (C, d).
        biases: float (C,) for each use.
    """

    weight: np.ndarray
    biases: tuple[np.ndarray, ...]


def is_probability(graph: Graph) -> bool:
    """Whether the graph has one output and it is a softmax."""
    if len(graph.outputs) != 1:
        return False
    producers = graph.producers()
    op = producers.get(graph.outputs[0])
    while op is not None and op.code in (BuiltinOperator.RESHAPE, BuiltinOperator.SQUEEZE):
        op = producers.get(op.input(0))
    return op is not None and op.code == BuiltinOperator.SOFTMAX


def output_distance(
    reference: Sequence[np.ndarray], other: Sequence[np.ndarray], *, probability: bool, temperature: float = 1.0
) -> float:
    """KL divergence in nats for a probability output, else squared error over variance, summed over outputs.

    Args:
        reference, other: arrays (samples, ...), one an output.
        probability: the one output is a softmax.
        temperature: what its logits are divided by before it is compared.
    """
    if probability:
        p = _tempered(reference[0], temperature)
        q = _tempered(other[0], temperature)
        return float(np.maximum((p * np.log(p / q)).sum(axis=1), 0).mean())
    total = 0.0
    for a, b in zip(reference, other, strict=True):
        x, y = a.astype(np.float64), b.astype(np.float64)
        smallest = _TINY * min(1.0, float((x**2).mean())) or 1.0  # variance of what counts as constant
        total += float(((x - y) ** 2).mean() / max(x.var(), smallest))
    return total


def _tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(n, classes), softmax of the logits over ``temperature``."""
    flat = probabilities.astype(np.float64).reshape(-1, probabilities.shape[-1]) + _TINY
    if temperature == 1:
        return flat
    powers = flat ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def measure_layers(
    model: Model,
    layers: Sequence[Layer],
    rounded: Mapping[str, RoundedWeight],
    samples: Iterable[dict[str, np.ndarray]],
    *,
    progress: Callable[[Iterable, int, str], Iterable] = lambda items, total, what: items,
) -> dict[str, float]:
    """Distance of the network's output from float with one layer at a time rounded.

    What lies before a layer is computed once and kept: each layer runs only the rest of the network. Of probabilities,
    layers share the KL divergence of all in proportion to that of tempered outputs.

    Args:
        model: float model.
        layers: the layers to measure.
        rounded: their rounded weights and biases.
        samples: few are enough (32); held in memory for the duration.
        progress: wraps the iteration over layers.

    Returns:
        layer name -> KL divergence or normalized squared error.
    """
    graph = model.graph
    cached = input_feeds(model, samples)
    position = {op: i for i, op in enumerate(graph.ops)}
    first = {x.name: min(position[use.float_op] for use in (*x.uses, *x.lookups)) for x in layers}
    order = sorted(layers, key=lambda layer: first[layer.name])
    probability = is_probability(graph)
    reference = run_from(model, list(graph.inputs), graph.outputs, cached)
    plain: dict[str, float] = {}
    even: dict[str, float] = {}
    for layer in progress(order, len(order), "sensitivity"):
        cut = _live(graph, first[layer.name])
        cached = _advance(model, cached, cut)
        # Sample arrays of the reference and of the cache stay aligned: both are cut at the same end.
        outputs = run_from(with_weight(model, layer, rounded[layer.name]), cut, graph.outputs, cached)
        used, found = joined(reference[: len(cached)]), joined(outputs)
        plain[layer.name] = output_distance(used, found, probability=probability)
        if probability:
            even[layer.name] = output_distance(used, found, probability=True, temperature=TEMPERATURE)
    if not probability:
        return plain
    total = sum(even.values())
    return {name: sum(plain.values()) * value / total if total > 0 else 0.0 for name, value in even.items()}


def input_feeds(model: Model, samples: Iterable[Mapping[str, np.ndarray]]) -> list[dict[Tensor, np.ndarray]]:
    """Samples by input name -> by tensor of the main graph."""
    names = input_names(model)
    return [{t: feeds[names[t]] for t in model.graph.inputs} for feeds in samples]


def _live(graph: Graph, index: int) -> list[Tensor]:
    """Activations made before op ``index`` that are still needed from it on."""
    later = {t for op in graph.ops[index:] for t in op.inputs if t is not None} | set(graph.outputs)
    before = [*graph.inputs, *(t for op in graph.ops[:index] for t in op.outputs)]
    return [t for t in dict.fromkeys(before) if t in later]


def _advance(model: Model, cached: list[dict[Tensor, np.ndarray]], cut: list[Tensor]) -> list[dict[Tensor, np.ndarray]]:
    known = list(cached[0])
    missing = [t for t in cut if t not in cached[0]]
    if missing:
        shapes = {t: values.shape for t, values in cached[0].items()}
        interpreter = probe_interpreter(model, missing, inputs=shapes, threads=INFERENCE_THREADS)
        for values in cached:
            feeds = {f"input_{i}": values[t] for i, t in enumerate(known)}
            values.update(zip(missing, run(interpreter, feeds), strict=True))
    size = sum(cached[0][t].nbytes for t in cut)
    keep = max(1, min(len(cached), MEMORY_CAP // max(size, 1)))
    return [{t: values[t] for t in cut} for values in cached[:keep]]


def run_from(
    model: Model, inputs: list[Tensor], outputs: Sequence[Tensor], cached: list[dict[Tensor, np.ndarray]]
) -> list[list[np.ndarray]]:
    """Outputs of every sample, computed from given tensors on.

    In a model with an open batch the shapes on file are placeholders, which an operator may refuse: a dilated
    convolution, for one, works on a multiple of the batch. So the file has the shapes of the samples.
    """
    shapes = {t: cached[0][t].shape for t in inputs}
    interpreter = probe_interpreter(model, outputs, inputs=shapes, threads=INFERENCE_THREADS)
    return [run(interpreter, {f"input_{i}": values[t] for i, t in enumerate(inputs)}) for values in cached]


def joined(runs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Each output over all samples: stacked, or where sizes differ position after position."""
    outputs = list(zip(*runs, strict=True))
    if all(len({value.shape for value in values}) == 1 for values in outputs):
        return [np.stack(values) for values in outputs]
    widths = [{value.shape[-1] for value in values} for values in outputs]
    return [
        np.concatenate([value.reshape(-1, value.shape[-1] if len(width) == 1 else 1) for value in values])
        for values, width in zip(outputs, widths, strict=True)
    ]


def with_weight(model: Model, layer: Layer, rounded: RoundedWeight) -> Model:
    """The model with one layer's weight and biases replaced; ``model`` stays as it is."""
    _, weight_slot, bias_slot = layer.site
    changed: dict[Op, Op] = {}
    for use, bias in zip(layer.uses, rounded.biases, strict=True):
        op = use.float_op
        old = op.input(weight_slot)
        data = layer.kind.tensor(rounded.weight.astype(np.float32, copy=False), old.shape).tobytes()
        inputs = list(op.inputs[:bias_slot])
        inputs[weight_slot] = Tensor(old.name, old.shape, old.type, data)
        if bias_slot is not None:
            inputs.append(Tensor(f"{old.name}/bias", bias.shape, old.type, bias.astype(np.float32).tobytes()))
        changed[op] = replace(op, inputs=inputs)
        for lookup in layer.lookups:
            ids, table = lookup.float_op.input(lookup.site.activation), inputs[weight_slot]
            changed[lookup.float_op] = replace(lookup.float_op, inputs=[ids, table])
    return model.with_ops([changed.get(op, op) for op in model.graph.ops])


def channel_gains(errors: np.ndarray, cost: float, gradients: np.ndarray | None) -> np.ndarray:
    """A layer's measured cost shared out over its rows and further points.

    Args:
        errors: (points, C) output error with 1, 2, ... points.
        cost: what the layer costs at the network's output with one point everywhere.
        gradients: (C,) mean squared gradient of the log-likelihood at the output channels, or None.

    Returns:
        (C, points - 1) predicted fall of the cost.
    """
    weights = np.ones(errors.shape[1]) if gradients is None else gradients
    total = float((weights * errors[0]).sum())
    if total <= 0:
        return np.zeros((errors.shape[1], len(errors) - 1))
    return cost * (weights * (errors[:-1] - errors[1:])).T / total
