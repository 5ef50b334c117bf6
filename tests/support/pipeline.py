"""Models converted once, with the pipeline's middle driven by hand: what several test modules share."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.channel_groups import channel_groups
from converters.layers.find import find_layers
from converters.layers.kinds import kind_of
from converters.layers.layer import Layer, Skipped
from converters.lowering.form import Storage
from converters.lowering.result import LoweredLayer
from converters.points import MultipointWeight, Point
from converters.runtime.interpreter import inputs, make_interpreter, outputs, run
from converters.runtime.values import dequantize
from converters.tflite.file import File
from converters.tflite.graph import Graph, Model, Op, Tensor
from converters.tflite.probe import probe
from converters.tflite.reader import load
from tfmpq.algorithms import Candidate, Evidence, LayerStatistics
from tfmpq.emit import validation
from tfmpq.emit.validation import ValidationReport
from tfmpq.emit.write import Emission, emit
from tfmpq.measure.moments import collect_statistics
from tfmpq.plan.channel_order import row_groups, shared_orders
from tfmpq.plan.rounding import round_layer
from tfmpq.progress import Progress
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Measured, Network, Planned, Rounded, Weighed, advance

QUIET = Progress(False)
Feed = dict[str, np.ndarray]


@dataclass
class Rows:
    """Points and biases of one layer."""

    weight: MultipointWeight
    biases: tuple[np.ndarray, ...]


def candidates_of(weight: MultipointWeight) -> tuple[Candidate, ...]:
    """Candidates of which these points are made; their errors are of no interest."""
    scales = np.stack([point.scale for point in weight.points])
    codes = np.stack([point.codes for point in weight.points])
    return tuple(Candidate(codes[:n], scales[:n], np.zeros(weight.shape[0])) for n in range(1, len(codes) + 1))


@dataclass
class Converted:
    """A model, its stock int8 twin, and what the first stages find."""

    model: FloatModel
    network: Network
    layers: dict[str, Layer]
    skipped: list[Skipped]
    samples: list[Feed]
    statistics: dict[str, LayerStatistics]
    known: dict[Any, Rounded] = field(default_factory=dict)

    @property
    def stock(self) -> bytes:
        return self.network.stock.content

    @property
    def graph(self) -> Model:
        return self.network.model

    @property
    def int8_graph(self) -> Graph:
        return self.network.stock.graph

    def measured(self, name: str, settings: LayerSettings) -> Measured:
        """One layer with these settings."""
        return Measured(self.layers[name], settings, None, self.statistics[name])

    def rounded(self, name: str, settings: LayerSettings) -> Rounded:
        """One layer with its points, chosen once."""
        key = (name, settings.bits, settings.max_points, settings.algorithm)
        if key not in self.known:
            self.known[key] = round_layer(self.measured(name, settings), Evidence())
        return replace(self.known[key], settings=settings)

    def rows(self, name: str, settings: LayerSettings, counts: np.ndarray) -> Rows:
        """Points and biases of one layer with ``counts`` points a row."""
        layer = self.rounded(name, settings)
        weight = layer.weight(counts)
        return Rows(weight, layer.biases(weight))

    def weighed(
        self, name: str, settings: LayerSettings, gains: np.ndarray, order: np.ndarray | None = None, **changes: Any
    ) -> Weighed:
        """One layer with gains of a test's own choice."""
        groups, frozen = row_groups(self.layers[name], self.network.groups)
        layer = self.rounded(name, settings)
        values = {"cost": 1.0, "gains": gains, "groups": groups, "frozen": frozen, "order": order, **changes}
        return advance(Weighed, layer, **values)

    def stock_rows(self, name: str) -> Rows:
        """The integers and biases of the stock int8 file as points."""
        layer = self.layers[name]
        _, weight, bias = layer.kind.site
        tensor = layer.uses[0].int8_op.input(weight)
        assert tensor.quantization is not None
        codes = layer.kind.rows(tensor.array())
        points = MultipointWeight((Point(codes, tensor.quantization.scale),), np.ones(len(codes), np.int64), 8)
        return Rows(points, tuple(_real_bias(use.int8_op, bias, len(codes)) for use in layer.uses))

    def orders(self, names: Sequence[str], gains: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Joint channel orders of layers that share one."""
        placed = {name: row_groups(self.layers[name], self.network.groups) for name in names}
        return shared_orders([(n, groups[0], gains[n]) for n, (groups, frozen) in placed.items() if frozen is None])

    def planned(
        self,
        rows: Mapping[str, Rows],
        lowering: str | Mapping[str, str],
        orders: Mapping[str, np.ndarray] | None = None,
    ) -> list[Planned]:
        """The layers of ``rows`` with these points, to be written in these forms."""
        result = []
        for name in (name for name in self.layers if name in rows):
            entry = rows[name]
            asked = lowering if isinstance(lowering, str) else lowering[name]
            settings = LayerSettings(entry.weight.bits, len(entry.weight.points), "radix", asked)
            groups, frozen = row_groups(self.layers[name], self.network.groups)
            pairs = zip(self.layers[name].uses, entry.biases, strict=True)
            # Given points keep the biases of their uses: here, those of the rows.
            layer = replace(self.layers[name], uses=tuple(replace(use, bias=bias) for use, bias in pairs))
            result.append(
                Planned(
                    layer, settings, entry.weight, self.statistics[name], candidates_of(entry.weight), None, (), 0.0,
                    np.zeros((layer.channels, 0)), groups, frozen, (orders or {}).get(name), asked, entry.weight.counts,
                )
            )  # fmt: skip
        return result

    def emit(
        self,
        rows: Mapping[str, Rows],
        lowering: str | Mapping[str, str],
        *,
        storage: Storage = "auto",
        orders: Mapping[str, np.ndarray] | None = None,
        metadata: Mapping[str, object] | None = None,
        samples: Sequence[Feed] | None = (),
    ) -> Emission:
        """Writes a file in which the layers of ``rows`` have these points and all others stay as stock has them.

        ``samples``: for the ranges of partial outputs, by default those of the statistics; None: placeholder ranges.
        """
        data = None if samples is None else samples or self.samples
        return emit(
            self.network,
            self.planned(rows, lowering, orders),
            storage=storage,
            samples=None if data is None else lambda: iter(data),
            count=0 if data is None else len(data),
            metadata=metadata or {"version": "test"},
            progress=QUIET,
        )

    def simulate(self, rows: Mapping[str, Rows], feeds: Sequence[Feed]) -> list[np.ndarray]:
        """Outputs of the float network whose weights are ``rows``, elsewhere the stock file's integers."""
        ops: dict[Op, Op] = {}
        for name, layer in self.layers.items():
            entry = rows.get(name) or self.stock_rows(name)
            real = entry.weight.reconstruct().astype(np.float32)
            for use, bias in zip(layer.uses, entry.biases, strict=True):
                ops[use.float_op] = _with_constants(use.float_op, layer, real, bias)
        graph = self.graph.graph
        altered = replace(graph, ops=[ops.get(op, op) for op in graph.ops])
        signatures = [replace(s, graph=altered) for s in self.graph.signatures]
        interpreter = make_interpreter(
            probe(replace(self.graph, graphs=[altered], signatures=signatures), graph.outputs)
        )
        return _stacked([run(interpreter, feed) for feed in feeds])


def _with_constants(op: Op, layer: Layer, real: np.ndarray, bias: np.ndarray) -> Op:
    _, weight, place = layer.kind.site
    old = op.input(weight)
    data = layer.kind.tensor(real, old.shape).tobytes()
    changed = list(op.inputs[:place])
    changed[weight] = Tensor(f"{old.name}/real", old.shape, old.type, data)
    changed.append(Tensor(f"{old.name}/bias", bias.shape, old.type, bias.astype(np.float32).tobytes()))
    return replace(op, inputs=changed)


def _real_bias(op: Op, slot: int | None, rows: int) -> np.ndarray:
    """float64: int32 values times their scales."""
    tensor = op.optional_input(slot)
    if tensor is None:
        return np.zeros(rows)
    assert tensor.quantization is not None
    return tensor.array() * tensor.quantization.scale.astype(np.float64)


def convert_once(
    model: Any, samples: Sequence[Feed], *, io_dtype: str = "int8", batch_size: int | None = 1
) -> Converted:
    """Runs the stages before the points; ``samples`` are feeds by input name."""
    float_model = load_model(model, batch_size=batch_size)
    stock = File.parse(int8_twin(float_model, lambda: iter(samples), io_dtype=io_dtype))
    network = Network(float_model, stock, load(float_model.flatbuffer), stock, channel_groups(stock.graph))
    layers, skipped = find_layers(network.model.graph, stock.graph, names=float_model.names)
    statistics = collect_statistics(network.model, layers, lambda: iter(samples), len(samples))
    by_name = {layer.name: layer for layer in layers}
    return Converted(float_model, network, by_name, skipped, list(samples), statistics)


def validate(
    content: bytes, stock: bytes, lowered: Sequence[LoweredLayer], samples: Sequence[Feed], **options: Any
) -> ValidationReport:
    """The check of an emitted file, given as bytes."""
    return validation.validate(validation.parse_emitted(content), File.parse(stock), lowered, samples, **options)


def run_real(content: bytes, feeds: Sequence[Feed]) -> list[np.ndarray]:
    """Outputs of a file as real values, stacked over samples."""
    interpreter = make_interpreter(content)
    details = outputs(interpreter)
    return _stacked([[dequantize(v, d) for v, d in zip(run(interpreter, f), details, strict=True)] for f in feeds])


def run_raw(content: bytes, feeds: Sequence[Feed]) -> list[np.ndarray]:
    """Outputs of a file as it gives them, stacked over samples."""
    interpreter = make_interpreter(content)
    return _stacked([run(interpreter, feed) for feed in feeds])


def _stacked(rows: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    return [np.stack(values) for values in zip(*rows, strict=True)]


def on_grid(content: bytes, feeds: Sequence[Feed]) -> list[Feed]:
    """Feeds moved to values that the file's int8 inputs hold exactly."""
    details = {d.name: d for d in inputs(make_interpreter(content))}

    def moved(name: str, values: np.ndarray) -> np.ndarray:
        scale, zero = details[name].scale, details[name].zero_point
        return ((np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale).astype(np.float32)

    return [{name: moved(name, values) for name, values in feed.items()} for feed in feeds]


def rounding_noise(content: bytes) -> list[float]:
    """Root mean square by which an int8 file's outputs differ from the real arithmetic of its constants, in steps.

    Every int8 result is rounded, which adds an error spread evenly over a step (a variance of a twelfth), and a weight
    layer carries its input's errors on with the squares of its weights. Inputs are taken to be exact, and nothing to
    saturate that would not in real arithmetic. A fused activation hides part of the error: the result is a little
    high then.
    """
    graph = load(content).graph
    variance: dict[Tensor, float] = dict.fromkeys(graph.inputs, 0.0)
    for op in graph.ops:
        target = op.outputs[0]
        known = [variance[t] for t in op.inputs if t is not None and t in variance]
        if op.name in ("RESHAPE", "SLICE", "SHAPE", "STRIDED_SLICE", "PACK"):
            variance[target] = max(known, default=0.0)
            continue
        own = target.scale**2 / 12
        if (kind := kind_of(op)) is not None:
            activation, slot, _ = kind.site
            weight = op.input(slot)
            assert weight.quantization is not None
            real = kind.rows(weight.array()) * weight.quantization.scale.astype(np.float64)[:, None]
            variance[target] = float((real**2).sum(axis=1).mean()) * variance[op.input(activation)] + own
        elif op.name == "ADD":
            variance[target] = sum(known) + own
        elif op.name == "CONCATENATION":  # of equal scales
            sizes = [t.shape[-1] for t in op.inputs if t is not None]
            variance[target] = float(np.average(known, weights=sizes))
        else:
            raise NotImplementedError(op.name)
    return [float(np.sqrt(variance[t])) / t.scale for t in graph.outputs]


def random_vectors(model: Any, seed: int = 0) -> Any:
    """Gives a Keras model random biases and normalization parameters, which it starts without."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if len(shape) == 1:
            positive = any(word in variable.name for word in ("variance", "gamma"))
            variable.assign(rng.uniform(0.5, 1.5, shape) if positive else rng.normal(size=shape) / 4)
    return model


RESIDUAL_LAYERS = ("stem", "expand", "dw", "project", "conv", "classifier")


def residual_model(k: Any) -> Any:
    """A Keras classifier with two residual blocks, one of them inverted; ``k`` is keras or tf_keras.

    ``stem``, ``project`` and ``conv`` add up and share one channel order, ``expand`` and ``dw`` another.
    """
    k.utils.set_random_seed(11)
    layers = k.layers
    x = k.Input((8, 8, 3), name="image")
    trunk = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(x)
    y = layers.ReLU(6.0)(layers.Conv2D(24, 1, name="expand")(trunk) * 3.0)
    y = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, padding="same", name="dw")(y) * 3.0)
    trunk = layers.Add()([trunk, layers.Conv2D(16, 1, name="project")(y)])
    trunk = layers.ReLU()(layers.Add()([trunk, layers.Conv2D(16, 3, padding="same", name="conv")(trunk)]))
    y = layers.Dense(10, activation="softmax", name="classifier")(layers.GlobalAveragePooling2D()(trunk))
    return random_vectors(k.Model(x, y, name="residual"))


def image_feeds(count: int, seed: int = 0) -> list[Feed]:
    """Inputs for :func:`residual_model`."""
    values = np.random.default_rng(seed).normal(size=(count, 1, 8, 8, 3)).astype(np.float32)
    return [{"image": v} for v in values]


@functools.cache
def residual(io_dtype: str = "int8", batch_size: int | None = 1) -> Converted:
    """:func:`residual_model` of Keras 3, converted."""
    import keras

    return convert_once(residual_model(keras), image_feeds(16), io_dtype=io_dtype, batch_size=batch_size)
