"""How much of a model's weights ended below 8 bits, and what holds the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from converters.layers.names import LayerNames, name_ops
from converters.tflite.graph import BuiltinOperator, Model, Tensor, TensorType
from tfmpq.stages import Found, Written
from tfmpq.text import quantity, shorten

LEAST_WEIGHTS = 1024  # elements of a constant; smaller ones are biases, scales and the like
_LOW = {TensorType.INT4, getattr(TensorType, "INT2", None)}
_NAMED, _NAME = 3, 40


@dataclass(frozen=True)
class Holder:
    """What keeps weights of 8 bits or more.

    Attributes:
        name: layer, or constant of an operator that is none.
        weights: how many.
        stored: ``"int8"`` or ``"float"``.
    """

    name: str
    weights: int
    stored: str


@dataclass(frozen=True)
class WeightShare:
    """Weights of a model by how the file stores them.

    Attributes:
        total: elements of all float constants with at least 1024 of them: matrices, tables, convolution kernels.
        below: of them, in points of fewer than 8 bits.
        rest: what holds the others, largest first.
        merged: of those below, in rows of several points that the file holds as one int8 row.
    """

    total: int
    below: int
    rest: tuple[Holder, ...]
    merged: int = 0

    @property
    def share(self) -> float:
        """Below 8 bits, 0..1."""
        return self.below / self.total if self.total else 0.0

    def __str__(self) -> str:
        text = f"{self.share:.1%}".replace("%", " %") + f" of {quantity(self.total)}"
        if self.merged:
            part = f"{self.merged / self.total:.1%}".replace("%", " %")
            text += f", {part} in rows of several points, which are int8 rows in the file"
        for stored in ("int8", "float"):
            held = [holder for holder in self.rest if holder.stored == stored]
            if held:
                names = ", ".join(shorten(holder.name, _NAME) for holder in held[:_NAMED])
                more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
                part = sum(holder.weights for holder in held) / self.total
                text += f"; {stored}: " + f"{part:.1%}".replace("%", " %") + f" ({names}{more})"
        return text


def weight_share(
    model: Model, file: Model, layers: Sequence[Found], names: LayerNames, *, without: Collection[int] = ()
) -> WeightShare:
    """Counts the weights of a model by how a file of it stores them.

    Args:
        model: the float model.
        file: the emitted one.
        layers: all layers of the model, those that were rewritten as written.
        names: what the user calls layers.
        without: numbers of graphs that are counted elsewhere.
    """
    stored = {t.name: t for graph in file.graphs for t in graph.tensors() if t.data is not None}
    total = below = merged = 0
    rest: list[Holder] = []
    counted: set[int] = set()
    for layer in layers:
        source = layer.layer.uses[0].float_op.input(layer.layer.site.weight)
        counted |= {id(use.float_op.input(use.site.weight).data) for use in layer.layer.uses}
        if prod(source.shape) < LEAST_WEIGHTS:
            continue
        size = layer.layer.weight.size
        held = _held(layer, stored)
        several = min(held, _several(layer))
        held -= several
        total, below, merged = total + size, below + size - held, merged + several
        if held:
            rest.append(Holder(layer.name, held, "int8"))
    for name, tensor in _others(model, names, without).items():
        if id(tensor.data) in counted:
            continue
        counted.add(id(tensor.data))
        size = prod(tensor.shape)
        kind = stored[tensor.name].type if tensor.name in stored else tensor.type
        total, below = total + size, below + (size if kind in _LOW else 0)
        if kind not in _LOW:
            rest.append(Holder(name, size, "int8" if kind == TensorType.INT8 else "float"))
    return WeightShare(total, below, tuple(sorted(rest, key=lambda holder: -holder.weights)), merged)


def _held(layer: Found, stored: Mapping[str, Tensor]) -> int:
    """Weights of a layer that the file has as int8: each of its points may be stored otherwise."""
    size = layer.layer.weight.size
    if not isinstance(layer, Written):
        return size
    int8 = (w for w in layer.lowered.weights if stored[w.tensor].type not in _LOW)
    return min(size, sum(weight.codes.size for weight in int8))


def _several(layer: Found) -> int:
    """Weights in rows of several points of fewer than 8 bits."""
    if not isinstance(layer, Written) or layer.settings.bits >= 8:
        return 0
    return int((layer.counts > 1).sum()) * layer.layer.columns


def _others(model: Model, names: LayerNames, without: Collection[int]) -> dict[str, Tensor]:
    """Large float constants of all graphs but some by what they are called."""
    graphs = [graph for number, graph in enumerate(model.graphs) if number not in without]
    ops = [op for graph in graphs for op in graph.ops if op.code != BuiltinOperator.WHILE]  # which starts with numbers
    read = [(op, t) for op in ops for t in op.inputs if t is not None and _is_large(t)]
    called = name_ops(list(dict.fromkeys(op for op, _ in read)), names)
    found: dict[str, Tensor] = {}
    for op, tensor in read:
        name = called[op] if found.get(called[op], tensor) is tensor else tensor.name
        found.setdefault(name, tensor)
    return found


def _is_large(tensor: Tensor) -> bool:
    floats = tensor.data is not None and tensor.type == TensorType.FLOAT32
    return floats and prod(tensor.shape) >= LEAST_WEIGHTS
