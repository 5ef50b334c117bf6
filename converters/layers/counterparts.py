"""Which activations of two files of the same network are the same, however each of them is lowered."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.layers.kinds import weights_of
from converters.layers.op_layers import OpLayers, op_layers, written_layer
from converters.layers.twins import CONVERSIONS
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType

_SAME = {
    "SLICE": "STRIDED_SLICE",
    "EXPAND_DIMS": "RESHAPE",
    "SQUEEZE": "RESHAPE",
}  # TensorFlow writes either


@dataclass(frozen=True)
class Step:
    """One computation of a network: an operator, or all operators that a lowering made of one.

    Attributes:
        layer: its Keras layer.
        ops: in graph order.
        output: what the last of them writes.
    """

    layer: str
    ops: tuple[Op, ...]
    output: Tensor

    @property
    def has_weights(self) -> bool:
        """Whether it is a layer with weights of its own."""
        return any(weights_of(op) for op in self.ops)

    @property
    def kind(self) -> str:
        """``weights``, or the operator's name."""
        return "weights" if self.has_weights else self.ops[-1].name

    @property
    def meaning(self) -> str:
        """The kind, the same for operators that do the same."""
        return _SAME.get(self.kind, self.kind)


@dataclass(frozen=True)
class Counterparts:
    """Steps of two files.

    Attributes:
        pairs: steps with the same meaning, in the second file's order.
        only_first, only_second: steps without a counterpart.
        known: layers whose names are those of the conversion's report for certain.
    """

    pairs: tuple[tuple[Step, Step], ...]
    only_first: tuple[Step, ...]
    only_second: tuple[Step, ...]
    known: frozenset[str]


def find_counterparts(first: Model, second: Model) -> Counterparts:
    """Pairs the steps of two files: by the names of what they write, by layer, then by order among those left.

    Conversions between float and integers, which one file may have and the other not, are left out.
    """
    layers = (op_layers(first), op_layers(second))
    a, b = (_steps(model.graph, found) for model, found in zip((first, second), layers, strict=True))
    pairs: dict[int, int] = {}  # position in b -> position in a

    def add(found: Mapping[int, int]) -> None:
        taken = set(pairs.values())
        pairs.update({j: i for j, i in found.items() if j not in pairs and i not in taken})

    add(_outputs(first.graph, second.graph, a, b))
    add(_by_key(a, b, [(s.output.name, _size(s)) for s in a], [(s.output.name, _size(s)) for s in b]))
    add(_by_key(a, b, [(s.layer, s.meaning, _size(s)) for s in a], [(s.layer, s.meaning, _size(s)) for s in b]))
    add(_by_order(a, b, pairs))
    matched = set(pairs.values())
    return Counterparts(
        tuple((a[i], b[j]) for j, i in sorted(pairs.items())),
        tuple(step for i, step in enumerate(a) if i not in matched),
        tuple(step for j, step in enumerate(b) if j not in pairs),
        layers[0].known | layers[1].known,
    )


def _steps(graph: Graph, layers: OpLayers) -> list[Step]:
    consumers = graph.consumers()
    steps = []
    inner: list[Op] = []  # of the layer at hand, before its last operator
    for op in graph.ops:
        if op.code in CONVERSIONS or not op.outputs or all(t is None or t.data is not None for t in op.inputs):
            continue
        readers = consumers.get(op.outputs[0], [])
        name = layers.names[op]
        inside = name in layers.known and readers and all(layers.names[r] == name for r in readers)
        inner.append(op)
        if inside and op.outputs[0] not in graph.outputs and written_layer(op.outputs[0].name) == name:
            continue
        ops = tuple(o for o in inner if layers.names[o] == name)
        inner = [o for o in inner if layers.names[o] != name]
        steps.append(Step(name, ops, _result(op, graph)))
    return steps


def _size(step: Step) -> tuple[int, ...]:
    """Shape without dimensions of one: a dense layer may keep them in one file only."""
    return tuple(n for n in step.output.shape if n != 1)


def _outputs(first: Graph, second: Graph, a: Sequence[Step], b: Sequence[Step]) -> dict[int, int]:
    """The graphs' outputs belong together by position; the converter renames them."""
    if len(first.outputs) != len(second.outputs):
        return {}
    places = [{step.output: i for i, step in enumerate(steps)} for steps in (a, b)]
    found = {}
    for x, y in zip(first.outputs, second.outputs, strict=True):
        i, j = (at.get(_origin(graph, t)) for graph, t, at in zip((first, second), (x, y), places, strict=True))
        if i is not None and j is not None and a[i].meaning == b[j].meaning and _size(a[i]) == _size(b[j]):
            found[j] = i
    return found


def _origin(graph: Graph, tensor: Tensor) -> Tensor:
    """Where the values of a tensor behind conversions come from."""
    producers = graph.producers()
    while tensor in producers and producers[tensor].code in CONVERSIONS:
        tensor = producers[tensor].input(0)
    return tensor


def _by_key(a: Sequence[Step], b: Sequence[Step], keys_a: Sequence[object], keys_b: Sequence[object]) -> dict[int, int]:
    """Pairs of equal keys; several equal ones are told apart by their order, if there are as many in both."""
    count_a, count_b = Counter(keys_a), Counter(keys_b)
    places: dict[object, list[int]] = {}
    for i in range(len(a)):
        places.setdefault(keys_a[i], []).append(i)
    return {j: places[keys_b[j]].pop(0) for j in range(len(b)) if 0 < count_a[keys_b[j]] == count_b[keys_b[j]]}


def _by_order(a: Sequence[Step], b: Sequence[Step], pairs: Mapping[int, int]) -> dict[int, int]:
    """Longest common runs of kinds and shapes; steps that are paired already stand as marks between."""
    marks = {i: f"pair {n}" for n, i in enumerate(pairs.values())}
    marks_b = {j: f"pair {n}" for n, j in enumerate(pairs)}
    keys_a = [marks.get(i, (step.meaning, _size(step))) for i, step in enumerate(a)]
    keys_b = [marks_b.get(j, (step.meaning, _size(step))) for j, step in enumerate(b)]
    blocks = difflib.SequenceMatcher(None, keys_a, keys_b, autojunk=False).get_matching_blocks()
    return {block.b + k: block.a + k for block in blocks for k in range(block.size)}


def _result(op: Op, graph: Graph) -> Tensor:
    """What an operator is compared by: of a loop, whose first states count its steps, a state that goes on."""
    if op.code != BuiltinOperator.WHILE:
        return op.outputs[0]
    read = {t for other in graph.ops for t in other.inputs} | set(graph.outputs)
    floats = (t for t in op.outputs if t in read and t.type == TensorType.FLOAT32)
    return next(floats, op.outputs[0])
