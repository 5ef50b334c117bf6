"""What the steps of :mod:`tfmpq.activations.mend` work on, and what they hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from converters.frontend.float_model import FloatModel
from converters.layers.kinds import kind_of
from converters.layers.op_layers import fused_layers, op_layers
from converters.targets import Target
from converters.tflite.file import File
from converters.tflite.graph import BuiltinOperator, Model, Op, Tensor, TensorType
from tfmpq.data.holdout import Split
from tfmpq.options import Options
from tfmpq.recipe.rules import ActivationSettings, Recipe
from tfmpq.suspicion.suspicion import Suspicion

# They compute something between the integers of one scale: what was rounded before them is not what was trained.
MIXING = frozenset({"AVERAGE_POOL_2D", "RESIZE_BILINEAR"})
_MOST_STEPS = 200.0  # of a result in one unit of what it is made of

Range: TypeAlias = tuple[float, float]
Kind = Literal["equalized", "mask", "range", "symmetric", "state", "output", "two points", "codes"]


@dataclass(frozen=True)
class Mended:
    """One thing that was done for activations, or for the codes of an LSTM.

    Attributes:
        kind: what.
        where: layers or tensors, for the user.
        why: what it is good for, or costs, in a few words.
        before_db, after_db: signal to noise of the values, or of what is made of them, on samples that nothing was
            fitted to; None: not measured.
    """

    kind: Kind
    where: str
    why: str
    before_db: float | None = None
    after_db: float | None = None


@dataclass(frozen=True)
class RowFormat:
    """What the rows of a layer will be.

    Attributes:
        bits: of a point.
        given: whether its points come with the model, made for the weights as they are.
        reads: the ranges of int8 tensors, one behind the other, of which it was trained to read the last; none: it was
            not trained to read other than what data have.
    """

    bits: int
    given: bool = False
    reads: tuple[Range, ...] = ()


@dataclass(frozen=True, eq=False)
class Case:
    """The conversion whose activations are looked at.

    Attributes:
        float_model: as the user gave it.
        model: its file, parsed; never changed.
        stock: the stock int8 file of it.
        data: samples; ``fit`` to choose by, ``judge`` to decide whether it is kept.
        options, recipe, target: of the conversion.
        rows: name of what a layer with weights writes -> what its rows will be.
        measured: ranges of all activations of ``model`` that ``stock`` was made with; None: not known.
        handed_on: name of a layer -> range that what it hands on was trained with.
    """

    float_model: FloatModel
    model: Model
    stock: File
    data: Split
    options: Options
    recipe: Recipe
    target: Target
    rows: Mapping[str, RowFormat] = field(default_factory=dict)
    measured: Mapping[str, Range] | None = None
    handed_on: Mapping[str, Range] = field(default_factory=dict)

    @cached_property
    def layer_names(self) -> Mapping[str, str]:
        """Tensor name -> the user's name of the layer that writes it."""
        return _layer_names(self.model)

    def is_given(self, op: Op) -> bool:
        """Whether an operator computes with points that come with the model."""
        rows = self.rows.get(op.outputs[0].name) if op.outputs else None
        return rows is not None and rows.given

    def trained_ranges(self, op: Op) -> tuple[Range, ...]:
        """Ranges of int8 tensors, of which an operator was trained to read the last; none: it was not."""
        rows = self.rows.get(op.outputs[0].name) if op.outputs else None
        return () if rows is None else rows.reads

    @cached_property
    def rule_names(self) -> Mapping[str, tuple[str, ...]]:
        """Tensor name -> names of the layers that rules may match it by: of those fused into one operator, all."""
        return _rule_names(self.model)

    @cached_property
    def input_names(self) -> Mapping[str, str]:
        """Tensor name -> the user's name of the input."""
        return _input_names(self.model)

    def called(self, name: str) -> str:
        """What the user calls the layer that writes a tensor, or the input that it is."""
        return {**self.input_names, **self.layer_names}.get(name, name)

    def settings(self, op: Op) -> ActivationSettings:
        """What the recipe says of what an operator writes, by name of its layer or of the tensor."""
        names = [tensor.name for tensor in op.outputs]
        return self._settings([*names, *(n for name in names for n in self.rule_names.get(name, ()))])

    def input_settings(self, tensor: Tensor) -> ActivationSettings:
        """What the recipe says of an input of the graph, by its name or that of its tensor."""
        return self._settings([tensor.name, self.input_names.get(tensor.name, tensor.name)])

    def _settings(self, names: Sequence[str]) -> ActivationSettings:
        own = "off" if self.options.equalize == "off" else "auto"  # "auto": free to be scaled, however that is chosen
        return self.recipe.activations(names, ActivationSettings(equalize=own))

    def stock_range(self, name: str) -> Range | None:
        """What an activation's int8 covers in the stock file; None where that holds no int8 of it for certain."""
        tensor = self._stock_tensors.get(name)
        if tensor is None:
            return None
        return (-128 - tensor.zero_point) * tensor.scale, (127 - tensor.zero_point) * tensor.scale

    def finest_step(self, name: str) -> float:
        """The smallest step that kernels can give an activation, as far as the stock file tells; else 0.

        XNNPACK takes no layer and no sum of which one unit would be 256 steps of the result.
        """
        tensor = self._stock_tensors.get(name)
        op = next((op for op in self.stock.graph.ops if tensor in op.outputs), None)
        if op is None:
            return 0.0
        kind = kind_of(op)
        used = op.inputs[:2] if kind is None else [op.input(kind.site.activation), op.input(kind.site.weight)]
        scales = [t.quantization.scale.max() for t in used if t is not None and t.quantization is not None]
        multiplies = kind is not None or op.code == BuiltinOperator.MUL
        return float(np.prod(scales) if multiplies else max(scales, default=0.0)) / _MOST_STEPS

    @cached_property
    def _stock_tensors(self) -> Mapping[str, Tensor]:
        """By name; what a QUANTIZE makes of a float input is held under the name of the input."""
        graph = self.stock.graph
        inputs = {op.input(0).name: op.outputs[0] for op in graph.ops if op.code == BuiltinOperator.QUANTIZE}
        known = {t.name: t for t in graph.tensors() if t.data is None}
        first = {t.name: inputs[t.name] for t in graph.inputs if t.name in inputs}
        integers = {n: t for n, t in {**known, **first}.items() if t.type == TensorType.INT8}
        return {name: tensor for name, tensor in integers.items() if tensor.quantization is not None}


@dataclass(frozen=True, eq=False)
class Subject:
    """A float model on its way to being quantized.

    Attributes:
        model: float; computes what the user's model does. Steps give a changed copy, or this one.
        ranges: tensor name -> range that the int8 scale has to cover, where it is not that of the data.
        requantized: name of what a layer writes -> ranges of what is put in front of it, one behind the other, where it
            has an input for itself alone.
        float_tail: names of tensors, up to outputs of the graph, whose operators are to stay in float.
        float_outputs: names of further output tensors that are to be float32 in the file.
        mended: what was done so far.
        warnings: what the user has to know of.
        measured: ranges of all activations of ``model`` as the samples say; None: not measured since it was changed.
        exact: whether they are those of its values for certain, and not what TensorFlow's calibrator saw.
        owners: tensor name -> the tensor whose range makes its int8 scale, of ``model``; None: not known yet.
    """

    model: Model
    ranges: Mapping[str, Range] = field(default_factory=dict)
    requantized: Mapping[str, Sequence[Range]] = field(default_factory=dict)
    float_tail: frozenset[str] = frozenset()
    float_outputs: frozenset[str] = frozenset()
    mended: Sequence[Mended] = ()
    warnings: Sequence[Suspicion] = ()
    measured: Mapping[str, Range] | None = None
    exact: bool = False
    owners: Mapping[str, str] | None = None

    @property
    def tail_operands(self) -> frozenset[str]:
        """Names of what float tails read: what the int8 part of the file gives out, at scales of its own."""
        tail = (op for op in self.model.graph.ops if not self.float_tail.isdisjoint(t.name for t in op.outputs))
        return frozenset(t.name for op in tail for t in op.inputs if t is not None and t.data is None)

    @property
    def record(self) -> dict[str, object]:
        """What the file says of it: what was done to which output, and whether channels were scaled."""
        done = {entry.where: entry.why for entry in self.mended if entry.kind == "output"}
        scaled = any(entry.kind == "equalized" for entry in self.mended)
        return {**({"outputs": done} if done else {}), **({"equalized": True} if scaled else {})}


def activation_names(model: Model) -> list[str]:
    """All names that a rule for activations may match: those of inputs, tensors and the layers that write them."""
    names = [*_input_names(model).items(), *((tensor, *layers) for tensor, layers in _rule_names(model).items())]
    return [name for own in names for name in own]


def _layer_names(model: Model) -> dict[str, str]:
    named = op_layers(model).names
    return {tensor.name: named[op] for op in model.graph.ops for tensor in op.outputs}


def _rule_names(model: Model) -> dict[str, tuple[str, ...]]:
    layers = _layer_names(model)
    return {t.name: tuple(dict.fromkeys((layers[t.name], *names))) for t, names in fused_layers(model).items()}


def _input_names(model: Model) -> dict[str, str]:
    known = {t.name: name for s in model.signatures[:1] for name, t in s.inputs}
    return {t.name: known.get(t.name, t.name) for t in model.graph.inputs}
