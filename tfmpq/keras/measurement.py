"""What a simulation has to know of the file that conversion will write: folding, output errors, int8 ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from converters.errors import ModelError
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.find import find_layers
from converters.layers.layer import Layer, Skipped
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.algorithms.problem import output_error
from tfmpq.data.first_sample import first_shapes
from tfmpq.data.representative import RepresentativeData, check_samples
from tfmpq.keras.folding import SAME_FACTOR, is_factor_of, norm_factors, row_factors
from tfmpq.keras.handed_on import Steps, int8_steps
from tfmpq.keras.kernels import CHANNEL_AXES, kernel_of
from tfmpq.keras.quantizers import LayerToTrain
from tfmpq.keras.source import find_wrappers, without_wrappers
from tfmpq.keras.wrappers import Annotate
from tfmpq.measure.moments import collect_statistics
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.points import channel_rows, simulated_points

_LOWEST = -128  # of int8


@dataclass(frozen=True, eq=False)
class Measured:
    """One annotated layer.

    Attributes:
        settings: its settings, with the points of every channel.
        rows: (C, d), its weight.
        factors: (C,) what conversion multiplies into the rows.
        is_end: whether it is a first or last layer.
        is_depthwise: whether the file has it as a depthwise convolution.
        reads_unsigned: whether what it reads is never negative.
        uses: how often the file computes it.
    """

    settings: SimulationSettings
    rows: np.ndarray
    factors: np.ndarray
    is_end: bool
    is_depthwise: bool
    reads_unsigned: bool
    uses: int

    def is_folded(self, norm: Any) -> bool:
        """Whether the factors come from this batch normalization."""
        return is_factor_of(norm, self.factors, self.rows)

    def has_known_biases(self, norm: Any | None) -> bool:
        """Whether the file's biases follow from the rows' steps: of one use, and of no other factors than a norm's."""
        own = np.abs(norm_factors(norm, len(self.factors))) if norm is not None else np.ones(len(self.factors))
        alive = self.rows.any(axis=1)
        return self.uses == 1 and np.allclose(np.abs(self.factors)[alive], own[alive], rtol=SAME_FACTOR, atol=0)

    def to_train(self, path: str, layer: Annotate) -> LayerToTrain:
        """What makers of quantizers may know of it."""
        axes = CHANNEL_AXES[type(layer.layer)]
        return LayerToTrain(path, self.settings, axes, self.is_end, self.is_depthwise, self.reads_unsigned)

    def flipped(self, norm: Any | None) -> tuple[int, ...]:
        """Channels with a negative factor, that of the normalization left aside."""
        others = self.factors if norm is None else self.factors * norm_factors(norm, len(self.factors))
        return tuple(np.flatnonzero(others < 0).tolist())


@dataclass(frozen=True, eq=False)
class Written:
    """A model as TensorFlow's own converter writes it.

    Attributes:
        data: representative inputs.
        graph: the float file.
        steps: scale and zero point of the int8 file's activations.
        layers, skipped: of the file.
    """

    data: RepresentativeData
    graph: Model
    steps: Mapping[str, Steps]
    layers: Sequence[Layer]
    skipped: Sequence[Skipped]


def write(model: Any, rep_dataset: object) -> Written:
    """Converts a float model with TensorFlow's own converter."""
    float_model = load_model(model, sizes=partial(first_shapes, rep_dataset))
    data = check_samples(rep_dataset, float_model.inputs)
    graph, int8_graph = load(float_model.flatbuffer), load(int8_twin(float_model, data.originals))
    layers, skipped = find_layers(
        graph.graph,
        int8_graph.graph,
        names=float_model.names,
    )
    return Written(data, graph, int8_steps(int8_graph.graph), layers, skipped)


def measure_layers(
    model: Any, annotated: Mapping[str, Annotate], rep_dataset: object
) -> tuple[dict[int, Measured], Written]:
    """Converts the model with TensorFlow's own converter and looks at the annotated layers.

    Args:
        model: the annotated model.
        annotated: its annotated layers by path.
        rep_dataset: representative inputs.

    Returns:
        Findings by the id of the :class:`Annotate` layer, and the float model as it is written.

    Raises:
        ModelError: A layer is not written as one weight with constant rows.
    """
    whole = write(without_wrappers(model), rep_dataset)
    written = {path: written_layers(path, whole.layers, whole.skipped) for path in annotated}
    open_layers = [written[path][0] for path, layer in annotated.items() if layer.settings.points is None]
    statistics = collect_statistics(whole.graph, open_layers, whole.data, whole.data.count) if open_layers else {}
    result = {}
    for path, layer in annotated.items():
        rows = channel_rows(np.asarray(kernel_of(layer.layer)), CHANNEL_AXES[type(layer.layer)])
        factors = _common_factors(path, written[path], rows)
        settings = layer.settings
        if settings.points is None:
            settings = _with_points(settings, written[path][0], statistics[written[path][0].name])
        is_end = any(found.is_first or found.is_last for found in written[path])
        inputs = [use.int8_input for found in written[path] for use in found.uses]
        unsigned = all(source.zero_point == _LOWEST for source in inputs)
        is_depthwise = any(found.kind.per_channel for found in written[path])
        result[id(layer)] = Measured(settings, rows, factors, is_end, is_depthwise, unsigned, len(inputs))
    return result, whole


@dataclass(frozen=True, eq=False)
class Ranges:
    """Int8 inputs of simulated layers.

    Attributes:
        steps: scale and zero point by the id of the layer.
        written: the file that they are of.
    """

    steps: Mapping[int, Steps]
    written: Written


def measure_ranges(simulated: Any, rep_dataset: object) -> Ranges:
    """Scale and zero point of the int8 input of every simulated layer.

    They are those of the file: of activations that the points have already changed. A layer that is used several times
    gets a range that covers its inputs.
    """
    whole = write(without_wrappers(simulated), rep_dataset)
    steps = {
        id(layer): _input_range(written_layers(path, whole.layers, whole.skipped))
        for path, layer in find_wrappers(simulated).items()
    }
    return Ranges(steps, whole)


def written_layers(path: str, layers: Sequence[Layer], skipped: Sequence[Skipped]) -> list[Layer]:
    """The weights of the file that a Keras layer becomes: several where it is shared and folded differently."""
    found = [layer for layer in layers if layer.name == path or layer.name.startswith(f"{path}:")]
    if not found:
        reasons = [f" ({s.op}: {s.reason})" for s in skipped if s.name == path or s.name.startswith(f"{path}:")]
        raise ModelError(
            f"layer '{path}' cannot be simulated: TensorFlow's converter does not write it as a layer with a constant "
            f"int8 weight{''.join(reasons[:1])}. Leave it without settings."
        )
    return found


def _common_factors(path: str, written: Sequence[Layer], rows: np.ndarray) -> np.ndarray:
    for layer in written:
        if layer.weight.shape != rows.shape:
            raise ModelError(
                f"layer '{path}' cannot be simulated: its weight has shape {rows.shape} as rows, but "
                f"{layer.weight.shape} in the file. Leave it without settings, and please report the model."
            )
    every = np.stack([row_factors(layer.weight, rows) for layer in written])
    if (every.min(axis=0) < 0).any() and (every.max(axis=0) > 0)[every.min(axis=0) < 0].any():
        channel = int(np.flatnonzero((every.min(axis=0) < 0) & (every.max(axis=0) > 0))[0])
        raise ModelError(
            f"layer '{path}' cannot be simulated: it is used {len(written)} times, and what is folded into it turns "
            f"around the sign of channel {channel} in some uses only, so that one set of low-bit codes does not serve "
            "all. Leave it without settings, or give each use its own layer."
        )
    return every[0]


def _with_points(settings: SimulationSettings, layer: Layer, known: LayerStatistics) -> SimulationSettings:
    """The settings with the number of points of every channel, by the error at the layer's output."""
    moment = known.second_moment()
    errors = []
    for candidate in simulated_points(layer.weight, settings).candidates:
        real = np.einsum("ncd,nc->cd", candidate.codes.astype(np.float64), candidate.scales.astype(np.float64))
        errors.append(output_error(layer.grouped(real - layer.weight), moment).reshape(-1))
    energy = output_error(layer.grouped(layer.weight.astype(np.float64)), moment).reshape(-1)
    counts = settings.counts(np.stack(errors), energy)
    return replace(settings, points=tuple(counts.tolist()), share=None)


def _input_range(written: Sequence[Layer]) -> Steps:
    sources = [use.int8_input for layer in written for use in layer.uses]
    scales = {(source.scale, source.zero_point) for source in sources}
    if len(scales) == 1:
        return scales.pop()
    low = min((-128 - zero_point) * scale for scale, zero_point in scales)
    high = max((127 - zero_point) * scale for scale, zero_point in scales)
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)
