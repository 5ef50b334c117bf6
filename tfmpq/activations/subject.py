"""What the steps of :mod:`tfmpq.activations.mend` work on, and what they hand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from converters.frontend.float_model import FloatModel
from converters.layers.op_layers import op_layers
from converters.targets import Target
from converters.tflite.file import File
from converters.tflite.graph import Model, Op
from tfmpq.data.holdout import Split
from tfmpq.options import Options
from tfmpq.recipe.rules import ActivationSettings, Recipe
from tfmpq.suspicion.suspicion import Suspicion

Range: TypeAlias = tuple[float, float]
Kind = Literal["equalized", "mask", "range", "output", "two points", "int16"]


@dataclass(frozen=True)
class Mended:
    """One thing that was done for activations.

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
    """

    bits: int
    given: bool = False


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

    @cached_property
    def layer_names(self) -> Mapping[str, str]:
        """Tensor name -> the user's name of the layer that writes it."""
        return _layer_names(self.model)

    def is_given(self, op: Op) -> bool:
        """Whether an operator computes with points that come with the model."""
        rows = self.rows.get(op.outputs[0].name) if op.outputs else None
        return rows is not None and rows.given

    def settings(self, op: Op) -> ActivationSettings:
        """What the recipe says of what an operator writes, by name of its layer or of the tensor."""
        defaults = ActivationSettings(equalize=self.options.equalize)
        names = [tensor.name for tensor in op.outputs]
        return self.recipe.activations(
            [*names, *(self.layer_names[n] for n in names if n in self.layer_names)], defaults
        )


@dataclass(frozen=True, eq=False)
class Subject:
    """A float model on its way to being quantized.

    Attributes:
        model: float; computes what the user's model does. Steps give a changed copy, or this one.
        ranges: tensor name -> range that the int8 scale has to cover, where it is not that of the data.
        float_tail: names of tensors, up to outputs of the graph, whose operators are to stay in float.
        float_outputs: names of further output tensors that are to be float32 in the file.
        mended: what was done so far.
        warnings: what the user has to know of.
        measured: ranges of all activations of ``model`` as the samples say; None: not measured since it was changed.
    """

    model: Model
    ranges: Mapping[str, Range] = field(default_factory=dict)
    float_tail: frozenset[str] = frozenset()
    float_outputs: frozenset[str] = frozenset()
    mended: Sequence[Mended] = ()
    warnings: Sequence[Suspicion] = ()
    measured: Mapping[str, Range] | None = None

    @property
    def record(self) -> dict[str, object]:
        """What the file says of it: what was done to which output, and whether channels were scaled."""
        done = {entry.where: entry.why for entry in self.mended if entry.kind == "output"}
        scaled = any(entry.kind == "equalized" for entry in self.mended)
        return {**({"outputs": done} if done else {}), **({"equalized": True} if scaled else {})}


def activation_names(model: Model) -> list[str]:
    """All names that a rule for activations may match: those of tensors and of the layers that write them."""
    return [name for names in _layer_names(model).items() for name in names]


def _layer_names(model: Model) -> dict[str, str]:
    named = op_layers(model).names
    return {tensor.name: named[op] for op in model.graph.ops for tensor in op.outputs}
