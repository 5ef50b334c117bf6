"""What layers read and write in the float network and in the rounded one: joint moments, and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from converters.layers.layer import Layer
from converters.reference.fused_activations import CLIPS
from converters.runtime.interpreter import run
from converters.runtime.probes import probe_interpreter
from converters.tflite.graph import Model, Tensor
from tfmpq.algorithms.evidence import LayerSamples, QuantizedInputs
from tfmpq.measure.input_sums import MAX_FULL_COLUMNS
from tfmpq.measure.moments import Samples, choose_positions, input_names
from tfmpq.measure.sensitivity import RoundedWeight, with_weight
from tfmpq.threads import INFERENCE_THREADS, serial_blas

SAMPLE_POSITIONS = 4096  # of a layer, over all samples
_UNCLIPPED = (-np.inf, np.inf)
_Pair = tuple[np.ndarray, np.ndarray]


def quantized_inputs(
    model: Model,
    layers: Sequence[Layer],
    rounded: Mapping[str, RoundedWeight],
    samples: Samples,
    count: int,
    *,
    seed: int,
) -> dict[str, QuantizedInputs]:
    """Moments of inputs x^ in the network with all of ``rounded`` in place, and with the float inputs x.

    Args:
        model: the float model.
        layers: whose inputs are wanted; those too wide for a full matrix are left out.
        rounded: weights and biases of the quantized network, of any layers.
        samples: calibration data; one pass.
        count: number of samples.
        seed: of the choice of positions, which are the same in both networks.
    """
    layers = [layer for layer in layers if layer.columns <= MAX_FULL_COLUMNS]
    if not layers:
        return {}
    everything = {layer.name: layer for layer in layers}
    quantized = model
    for name, weight in rounded.items():
        quantized = with_weight(quantized, everything[name], weight)
    tensors = list(dict.fromkeys(use.float_input for layer in layers for use in layer.uses))
    readers = [reader(graph, tensors) for graph in (model, quantized)]
    rng = np.random.default_rng(seed)
    sums = {layer.name: _Joint(layer) for layer in layers}
    with serial_blas():
        for feeds in samples():
            first, second = (read(feeds) for read in readers)
            for layer in layers:
                for use in layer.uses:
                    positions = choose_positions(layer, use, first[use.float_input], count, rng)
                    pair = (
                        layer.kind.patches(values[use.float_input], layer.reading(use), positions=positions)
                        for values in (first, second)
                    )
                    sums[layer.name].add(*pair)
    return {name: found.finish() for name, found in sums.items()}


class _Joint:
    """Running sums of one layer."""

    def __init__(self, layer: Layer) -> None:
        shape = (layer.groups, layer.columns)
        self.count = 0
        self.plain, self.quantized = np.zeros(shape), np.zeros(shape)
        self.moment, self.cross = (np.zeros((*shape, layer.columns)) for _ in range(2))

    def add(self, plain: np.ndarray, quantized: np.ndarray) -> None:
        x, y = plain.astype(np.float64), quantized.astype(np.float64)
        self.count += x.shape[1]
        self.plain += x.sum(axis=1)
        self.quantized += y.sum(axis=1)
        self.moment += np.swapaxes(y, 1, 2) @ y
        self.cross += np.swapaxes(x, 1, 2) @ y

    def finish(self) -> QuantizedInputs:
        x, y = self.plain / self.count, self.quantized / self.count
        moment = self.moment / self.count - np.einsum("gi,gj->gij", y, y)
        return QuantizedInputs(moment, self.cross / self.count - np.einsum("gi,gj->gij", x, y), y)


def layer_samples(
    model: Model, layers: Sequence[Layer], samples: Samples, count: int, *, seed: int
) -> dict[str, LayerSamples]:
    """Patches and outputs of every layer's first op at some positions of every sample.

    Args:
        model: the float model.
        layers: whose samples are wanted.
        samples: calibration data; one pass.
        count: number of samples.
        seed: of the choice of positions.
    """
    tensors = [t for layer in layers for t in (layer.uses[0].float_input, layer.uses[0].float_op.outputs[0])]
    read = reader(model, list(dict.fromkeys(tensors)))
    rng = np.random.default_rng(seed)
    each = max(1, SAMPLE_POSITIONS // count)
    found: dict[str, list[_Pair]] = {layer.name: [] for layer in layers}
    for feeds in samples():
        values = read(feeds)
        for layer in layers:
            use = layer.uses[0]
            outputs = values[use.float_op.outputs[0]].reshape(-1, layer.channels)
            positions = np.sort(rng.choice(len(outputs), min(each, len(outputs)), replace=False))
            found[layer.name].append(
                (
                    layer.kind.patches(values[use.float_input], layer.reading(use), positions=positions),
                    outputs[positions],
                )
            )
    return {layer.name: _layer_samples(layer, found[layer.name]) for layer in layers}


def _layer_samples(layer: Layer, pairs: Sequence[_Pair]) -> LayerSamples:
    use = layer.uses[0]
    inputs, outputs = np.concatenate([x for x, _ in pairs], axis=1), np.concatenate([y for _, y in pairs])
    low, high = CLIPS.get(getattr(use.float_op.options, "fusedActivationFunction", 0), _UNCLIPPED)
    return LayerSamples(inputs, outputs, use.bias, low, high)


def reader(model: Model, tensors: Sequence[Tensor]):
    """A function: feeds by input name -> the activations, of one run."""
    names = input_names(model)
    computed = [t for t in tensors if t not in names]
    interpreter = probe_interpreter(model, computed, threads=INFERENCE_THREADS) if computed else None

    def read(feeds: dict[str, np.ndarray]) -> dict[Tensor, np.ndarray]:
        values = {t: feeds[names[t]] for t in tensors if t in names}
        if interpreter is not None:
            values.update(zip(computed, run(interpreter, feeds), strict=True))
        return values

    return read
