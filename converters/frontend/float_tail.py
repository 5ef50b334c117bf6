"""Files whose last steps compute in float: what is in front of them is quantized by itself, with scales of its own.

TensorFlow's quantizer gives the inputs and the output of a CONCATENATION one scale, and knows no output that stays in
float beside integer ones. So the float graph is cut: its body is quantized with the tensors at the cut as outputs, and
the operators behind the cut, the tail, are put behind the int8 body as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from converters.errors import ModelError
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Signature, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save

_STORED = (TensorType.INT8, TensorType.UINT8)
_DEQUANTIZE_VERSION = 2  # of int8, every runtime has it


@dataclass(frozen=True, eq=False)
class Cut:
    """A float model in two pieces.

    Attributes:
        whole: the model.
        tail: its last operators, in order.
        body: the model without them; the tensors at the cut come first among its outputs.
        inner: those tensors of ``whole``, in that order.
        outer: outputs of ``whole`` that the body makes, in the order in which they follow among its outputs.
    """

    whole: Model
    tail: tuple[Op, ...]
    body: Model
    inner: tuple[Tensor, ...]
    outer: tuple[Tensor, ...]


def tail_last(model: Model, tail: Collection[str]) -> Model:
    """The model with the operators of a tail at the end, as they stand in a file that computes them in float."""
    behind = _behind(model.graph, tail)
    return model.with_ops([*(op for op in model.graph.ops if op not in behind), *behind])


def cut_tail(model: Model, tail: Collection[str]) -> Cut:
    """Cuts a float model in front of its last operators.

    Args:
        model: it is not changed.
        tail: names of the tensors that those operators write.

    Raises:
        ModelError: Another operator reads what one of them writes.
    """
    graph = model.graph
    behind = _behind(graph, tail)
    made = {tensor for op in behind for tensor in op.outputs}
    for op in graph.ops:
        if op not in behind and not made.isdisjoint(t for t in op.inputs if t is not None):
            raise ModelError(
                f"{op.name} writing '{op.outputs[0].name}' reads a value that is to stay in float, and is to be "
                "quantized itself: only the last operators of a model can stay in float."
            )
    written = {tensor for op in graph.ops if op not in behind for tensor in op.outputs}
    inner = dict.fromkeys(t for op in behind for t in op.inputs if t is not None and t in written)
    outer = dict.fromkeys(t for t in graph.outputs if t not in made and t not in inner)
    outputs = [*inner, *outer]
    ops = [op for op in graph.ops if op not in behind]
    main = Graph(graph.inputs, outputs, ops, graph.name)
    named = [(f"output_{i}", tensor) for i, tensor in enumerate(outputs)]
    signatures = [Signature(s.key, s.inputs, named, main) for s in model.signatures if s.graph is graph][:1]
    body = replace(model, graphs=[main, *model.graphs[1:]], signatures=signatures)
    return Cut(model, tuple(behind), body, tuple(inner), tuple(outer))


def _behind(graph: Graph, tail: Collection[str]) -> list[Op]:
    return [op for op in graph.ops if any(tensor.name in tail for tensor in op.outputs)]


def append_tail(int8: bytes, cut: Cut, floats: Collection[str] = ()) -> bytes:
    """The int8 file of a body with the tail behind it.

    Args:
        int8: the quantized body.
        cut: from :func:`cut_tail`.
        floats: names of outputs of the whole model that are to be float32 although the body makes them.

    Returns:
        A file with the inputs, outputs and signatures of the whole model, in its order.
    """
    model, whole = load(int8), cut.whole.graph
    placed = dict(zip(whole.inputs, model.graph.inputs, strict=True))
    placed.update(zip((*cut.inner, *cut.outer), model.graph.outputs, strict=True))
    _name_as_in_float(model.graph, {placed[t]: t.name for t in cut.inner if t not in whole.outputs})
    read = dict.fromkeys(t for op in cut.tail for t in op.inputs if t in placed)
    wanted = [*read, *(t for t in whole.outputs if t in placed and t.name in floats)]
    conversions, real = _dequantized(model.graph, [placed[t] for t in wanted if t is not None])
    tail = [
        replace(op, inputs=[real[placed[t]] if t is not None and t in placed else t for t in op.inputs])
        for op in cut.tail
    ]
    outputs = {t: real[placed[t]] if t.name in floats else placed[t] for t in whole.outputs if t in placed}
    results = [outputs.get(t, t) for t in whole.outputs]
    used = {t for op in (*model.graph.ops, *conversions, *tail) for t in op.inputs} | set(results)
    ops = [op for op in model.graph.ops if op.code != BuiltinOperator.QUANTIZE or op.outputs[0] in used]
    main = Graph(model.graph.inputs, results, [*ops, *conversions, *tail], model.graph.name)
    signatures = [
        Signature(s.key, [(n, placed[t]) for n, t in s.inputs], [(n, outputs.get(t, t)) for n, t in s.outputs], main)
        for s in cut.whole.signatures
        if s.graph is whole
    ]
    return save(replace(model, graphs=[main, *model.graphs[1:]], signatures=signatures))


def _name_as_in_float(graph: Graph, names: Mapping[Tensor, str]) -> None:
    """Gives the integer tensors at the cut the float ones' names, which the quantizer leaves to the outputs it adds."""
    producers = graph.producers()
    for tensor, name in names.items():
        if (stored := _stored(tensor, producers)) is not tensor:
            tensor.name = f"{name}/real"
            stored.name = name


def _stored(tensor: Tensor, producers: Mapping[Tensor, Op]) -> Tensor:
    """The integers behind an output of the type that users ask for; the quantizer works with int8, and converts."""
    maker = producers.get(tensor)
    if maker is None:
        return tensor
    to_uint8 = maker.code == BuiltinOperator.QUANTIZE and tensor.type == TensorType.UINT8
    return maker.input(0) if to_uint8 or maker.code == BuiltinOperator.DEQUANTIZE else tensor


def _dequantized(graph: Graph, tensors: Iterable[Tensor]) -> tuple[list[Op], dict[Tensor, Tensor]]:
    """Operators that make real numbers of stored ones, and the tensors that hold them."""
    producers = graph.producers()
    added: dict[Tensor, Op] = {}
    real = {}
    for tensor in dict.fromkeys(tensors):
        stored = tensor if tensor.type == TensorType.FLOAT32 else _stored(tensor, producers)
        if stored.type in _STORED and stored not in added:
            result = replace(stored, name=f"{stored.name}/real", type=TensorType.FLOAT32, quantization=None, raw=None)
            added[stored] = Op(BuiltinOperator.DEQUANTIZE, [stored], [result], _DEQUANTIZE_VERSION)
        real[tensor] = added[stored].outputs[0] if stored in added else stored
    return list(added.values()), real
