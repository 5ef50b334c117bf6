"""Evidence about layers: the moments that all get, and what algorithms ask for beyond them, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

import numpy as np

from converters.errors import DataError
from converters.layers.layer import Layer
from converters.reference.gradients import GradientResult, channel_gradients
from converters.reference.position_gradients import Relevance, relevant_positions
from converters.tflite.graph import Model, Tensor
from tfmpq.algorithms import ALGORITHMS, Evidence, LayerStatistics, Need
from tfmpq.measure.joint import layer_samples, quantized_inputs
from tfmpq.measure.lookups import collect_lookups
from tfmpq.measure.moments import Samples, collect_statistics
from tfmpq.measure.sensitivity import RoundedWeight
from tfmpq.measure.shared_means import share_means
from tfmpq.progress import Progress
from tfmpq.stages import Found, Measured, Network, Rounded, advance

GRADIENT_SAMPLES = 64
FirstRound = Callable[[Sequence[Measured]], Iterable[Rounded]]


def measure_inputs(
    layers: Sequence[Found], network: Network, samples: Samples, count: int, *, seed: int, progress: Progress
) -> list[Measured]:
    """Measures the inputs of every layer, those that stay as stock has them too: the report speaks of all.

    Raises:
        DataError: The inputs of a layer are not finite.
    """
    model, every = network.model, [layer.layer for layer in layers]
    plain, tables = apart(every)
    relevance = counting_positions(model, every, samples, seed=seed)
    found = collect_statistics(model, plain, samples, count, relevance=relevance, seed=seed, progress=progress)
    return measured_by(layers, found | collect_lookups(model, tables, samples, relevance))


def apart(layers: Sequence[Layer]) -> tuple[list[Layer], list[Layer]]:
    """Layers that multiply, and tables."""
    return [x for x in layers if not x.kind.table], [x for x in layers if x.kind.table]


def measured_by(layers: Sequence[Found], known: Mapping[str, LayerStatistics]) -> list[Measured]:
    """The layers with what is known of their inputs.

    Raises:
        DataError: The inputs of a layer are not finite.
    """
    tied = {layer.name for layer in layers if layer.layer.lookups and not layer.layer.kind.table}
    found = {name: _of_both(value) if name in tied else value for name, value in known.items()}
    for layer in layers:
        if not np.isfinite(found[layer.name].power()).all():
            raise DataError(
                f"layer '{layer.name}' reads values that are not finite on some of the representative samples: the "
                "float model itself gives NaN or infinity there. Check these samples, and operators such as LOG, SQRT "
                "or DIV in front of the layer."
            )
    return [
        advance(Measured, layer, statistics=share_means(layer.layer, found[layer.name], layer.row_bytes))
        for layer in layers
    ]


def counting_positions(model: Model, layers: Sequence[Layer], samples: Samples, *, seed: int) -> Relevance:
    """The positions of each sample at which layers compute what counts, filling behind a mask does not.

    Args:
        model: the float model.
        layers: found in it.
        samples: inputs by name; one pass, and another for sizes where a model leaves some open.
        seed: of what is differentiated.

    Returns:
        For layers that some positions do not count of, see :func:`relevant_positions`; {} where samples have other
        sizes than the file.
    """
    feeds = feed_tensors(model)
    return relevant_positions(model.graph, layers, samples(), feeds, seed=seed) if _even(samples, feeds) else {}


def _of_both(known: LayerStatistics) -> LayerStatistics:
    """Moments of a matrix that is multiplied with and looked up: errors of its rows count by themselves too.

    Half of the weight is the covariance's, half what a lookup makes of a row: all of its errors alike.
    """
    width = known.covariance.shape[-1]
    even = np.einsum("bdd->b", known.covariance) / width
    return replace(known, covariance=known.covariance + even[:, None, None] * np.eye(width))


class Gatherer:
    """Gathers what is asked for, each kind once and only if somebody asks.

    Args:
        layers: that are to be rounded.
        network: they are in.
        samples: calibration data.
        count: number of samples.
        seed: of everything random.
    """

    def __init__(
        self, layers: Sequence[Measured], network: Network, samples: Samples, count: int, *, seed: int
    ) -> None:
        self._layers, self._network = layers, network
        self._samples, self._count, self._seed = samples, count, seed

    @cached_property
    def gradients(self) -> GradientResult:
        """Mean squared gradients at the output channels of every layer."""
        found = self._backward
        if found.values is None:
            return found
        values = {n: v if v.ndim == 1 else np.diag(v).copy() for n, v in found.values.items()}
        return replace(found, values=values)

    @cached_property
    def _backward(self) -> GradientResult:
        """One pass for all that ask for gradients: whole second moments where wanted, squares elsewhere."""
        model = self._network.model
        feeds = feed_tensors(model)
        even = list(islice((s for s in self._samples() if fits(s, feeds)), GRADIENT_SAMPLES))
        if not even:
            return GradientResult(None, reason="all samples have different sizes, and gradients are computed at one")
        return channel_gradients(
            model.graph,
            [layer.layer for layer in self._layers if not layer.layer.kind.table],
            even,
            feeds,
            limit=GRADIENT_SAMPLES,
            draws=1,
            seed=self._seed,
            moments={layer.name for layer in self._layers if Need.OUTPUT_MOMENT in _needs(layer)},
        )

    def for_algorithms(self, first_round: FirstRound) -> dict[str, Evidence]:
        """Evidence of the layers whose algorithms ask for some, by layer name.

        Args:
            first_round: rounds layers without evidence, for the quantized network that some algorithms look at.
        """
        asking = {need: [layer for layer in self._layers if need in _needs(layer)] for need in Need}
        gradients = self._values(self.gradients) if asking[Need.OUTPUT_GRADIENTS] else {}
        moments = self._values(self._backward) if asking[Need.OUTPUT_MOMENT] else {}
        inputs = self._quantized_inputs(first_round) if asking[Need.QUANTIZED_INPUTS] else {}
        samples = {}
        if asking[Need.SAMPLES]:
            wanted = [layer.layer for layer in asking[Need.SAMPLES]]
            samples = layer_samples(self._network.model, wanted, self._samples, self._count, seed=self._seed)
        result = {}
        for layer in self._layers:
            needs, name = _needs(layer), layer.name
            if needs:
                result[name] = Evidence(
                    gradients=gradients.get(name) if Need.OUTPUT_GRADIENTS in needs else None,
                    output_moment=moments.get(name) if Need.OUTPUT_MOMENT in needs else None,
                    quantized=inputs.get(name) if Need.QUANTIZED_INPUTS in needs else None,
                    samples=samples.get(name) if Need.SAMPLES in needs else None,
                )
        return result

    @staticmethod
    def _values(found: GradientResult) -> Mapping[str, np.ndarray]:
        return found.values or {}

    def _quantized_inputs(self, first_round: FirstRound):
        rounded = {}
        for layer in first_round(self._layers):
            counts = layer.given_counts
            weight = layer.weight(np.ones(layer.layer.channels, np.int64) if counts is None else counts)
            rounded[layer.name] = RoundedWeight(weight.reconstruct(np.float32), layer.biases(weight))
        layers = [layer.layer for layer in self._layers if not layer.layer.kind.table]
        return quantized_inputs(self._network.model, layers, rounded, self._samples, self._count, seed=self._seed)


def feed_tensors(model: Model) -> dict[str, Tensor]:
    """What inputs are called in samples -> the main graph's tensors."""
    return dict(model.signatures[0].inputs) if model.signatures else {t.name: t for t in model.graph.inputs}


def _needs(layer: Measured) -> frozenset[Need]:
    return frozenset() if layer.given is not None else ALGORITHMS[layer.settings.algorithm].needs


def _even(samples: Samples, inputs: Mapping[str, Tensor]) -> bool:
    """Whether all samples have the sizes on file; those of a model that leaves none open have."""
    is_open = any(-1 in (tensor.shape_signature or ())[1:] for tensor in inputs.values())
    return not is_open or all(fits(sample, inputs) for sample in samples())


def fits(sample: Mapping[str, np.ndarray], inputs: Mapping[str, Tensor]) -> bool:
    """Whether a sample has the sizes on file: of a model that leaves some open, they are those of most samples.

    Backpropagation is traced for one size.
    """
    sized = {name: tensor for name, tensor in inputs.items() if tensor.shape_signature is not None}
    return all(sample[name].shape[1:] == tensor.shape[1:] for name, tensor in sized.items())
