"""Bodies of loops, as of recurrent layers, as float models of their own: one step of the loop.

Keras 3 exports LSTM and GRU layers as a WHILE whose body multiplies with their weights. What a body reads and computes
are the states of the loop, so a file with the body as its main graph is a model like any other, whose samples are the
states at some steps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from converters.errors import ModelError
from converters.frontend.float_file import read_inputs
from converters.frontend.float_model import FloatModel
from converters.layers.kinds import kind_of, weights_of
from converters.layers.layer import Skipped
from converters.layers.names import LayerNames
from converters.layers.op_layers import op_layers
from converters.tflite.calls import calls
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Signature, Tensor, TensorType
from converters.tflite.writer import save

LEAST_WEIGHTS = 1024  # numbers of a matrix; loops with none so large stay as they are
_KEY = "step"
_VARIABLE = re.compile(r"[^/]+/(?P<layer>.+)/Read(_\d+)?/ReadVariableOp")


@dataclass(frozen=True, eq=False)
class Loop:
    """A loop of the main graph with weights in its body.

    Attributes:
        name: of the layer, as the user calls it.
        ops: the operators of the main graph that run the body.
        number: of the body among the graphs of the file.
        states: for every state of the loop, in order, what the body's file calls its next value; None: the body hands
            it on as it is.
        step: the body as a model: states ``state_0``, ``state_1``, ... -> their next values.
        condition: content of a file that says from the states whether there is another step.
    """

    name: str
    ops: tuple[Op, ...]
    number: int
    states: tuple[str | None, ...]
    step: FloatModel
    condition: bytes

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of its layers."""
        return tuple(dict.fromkeys(self.step.names.by_output.values()))


def find_loops(model: Model, source: str) -> tuple[list[Loop], dict[int, Skipped]]:
    """Loops of the main graph that hold weights, and by the numbers of their bodies those that stay as they are.

    Args:
        model: a float model, as read from a file.
        source: what messages call it.
    """
    bodies: dict[int, list[Op]] = {}
    for op in model.graph.ops:
        if op.code == BuiltinOperator.WHILE:
            bodies.setdefault(op.options.bodySubgraphIndex, []).append(op)
    if not bodies:
        return [], {}
    names = op_layers(model).names
    loops, skipped = [], {}
    for number, ops in bodies.items():
        held = _weights(model.graphs[number])
        if not held:
            continue
        name = _variable_owner(model.graphs[number]) or names[ops[0]]
        try:
            loops.append(_loop(model, name, tuple(ops), number, source))
        except ModelError as error:
            count = sum(prod(t.shape) for t in held)
            reason = f"its {count:,} weights are in the body of a loop, which stays as it is: {error}"
            skipped[number] = Skipped(name, "WHILE", reason)
    return loops, skipped


def _variable_owner(body: Graph) -> str | None:
    """The layer whose variables a body reads, as tf_keras leaves it in names; the loop itself has lost its own."""
    constants = (t for op in body.ops for t in op.inputs if t is not None and t.data is not None)
    return next((found["layer"] for t in constants if (found := _VARIABLE.match(t.name))), None)


def _weights(body: Graph) -> list[Tensor]:
    found = [t for op in body.ops if kind_of(op) is not None for t in weights_of(op)]
    return [t for t in found if t.data is not None and prod(t.shape) >= LEAST_WEIGHTS]


def _loop(model: Model, name: str, ops: tuple[Op, ...], number: int, source: str) -> Loop:
    body, condition = model.graphs[number], model.graphs[ops[0].options.condSubgraphIndex]
    whole = f"{source}, loop '{name}'"
    if any(True for graph in (body, condition) for op in graph.ops for _ in calls(op, model)):
        raise ModelError(f"{whole}: its body calls other graphs")
    read = condition.consumers()
    if any(t.type == TensorType.FLOAT32 and t in read for t in condition.inputs):
        raise ModelError(f"{whole}: how many steps it takes depends on numbers that rounding changes")
    own = {id(t.data) for t in _weights(body)}
    others = [graph for graph in model.graphs if graph is not body]
    if any(t is not None and id(t.data) in own for graph in others for op in graph.ops for t in op.inputs):
        raise ModelError(f"{whole}: its weights are read outside of it too")
    sizes = [tuple(op.input(i).shape for i in range(len(op.inputs))) for op in ops]
    if any(other != sizes[0] for other in sizes):
        raise ModelError(f"{whole}: its states have several sizes")
    outputs, states = _next_states(body, whole)
    after = {state: size for state, size in zip(states, sizes[0], strict=True) if state is not None}
    content = _file(body, outputs, sizes[0], after)
    names = LayerNames(by_output=_layer_names(body, name))
    step = FloatModel(content, read_inputs(content, whole), names, whole)
    return Loop(name, ops, number, states, step, _file(condition, condition.outputs, sizes[0], {}))


def _next_states(body: Graph, whole: str) -> tuple[list[Tensor], tuple[str | None, ...]]:
    """What the body's file computes, and what it calls the next value of each state."""
    written = {t for op in body.ops for t in op.outputs}
    if any(t not in written and t not in body.inputs for t in body.outputs):
        raise ModelError(f"{whole}: one of its states becomes a constant")
    outputs = [t for t in dict.fromkeys(body.outputs) if t in written]
    numbers = {t: i for i, t in enumerate(outputs)}
    states = tuple(f"next_{numbers[t]}" if t in numbers else None for t in body.outputs)
    passed = [(old, new) for old, new in zip(body.inputs, body.outputs, strict=True) if new in body.inputs]
    if any(old is not new for old, new in passed):
        raise ModelError(f"{whole}: its states change places")
    return outputs, states


def _file(
    graph: Graph, outputs: Sequence[Tensor], sizes: Sequence[tuple[int, ...]], after: Mapping[str, tuple[int, ...]]
) -> bytes:
    """A graph as a file of its own; states whose sizes are open have those of the samples.

    What is computed of them keeps its open sizes: some depend on how far the loop has come.
    """
    part = replace(graph, outputs=list(outputs))
    named = [(f"state_{i}", t) for i, t in enumerate(part.inputs)], [(f"next_{i}", t) for i, t in enumerate(outputs)]
    model = Model([part], [Signature(_KEY, *named, part)], {}).clone().model
    for tensor, size in zip(model.graph.inputs, sizes, strict=True):
        tensor.shape, tensor.shape_signature = size, None
    for name, tensor in model.signatures[0].outputs:
        tensor.shape = after.get(name, tensor.shape)
    return save(model)


def _layer_names(body: Graph, loop: str) -> dict[str, str]:
    """What each operator with weights writes -> the loop's layer, and what its weight is called there."""
    found = {}
    for op in body.ops:
        held = [t for t in weights_of(op) if t.data is not None]
        if held:
            found[op.outputs[0].name] = f"{loop}/{held[0].name.split(';')[0].rsplit('/', 1)[-1]}"
    return found


def with_step(model: Model, loop: Loop, step: Graph) -> None:
    """Puts another version of a loop's body in its place.

    Args:
        model: a file with the loop; changed.
        loop: as found in the float model.
        step: main graph of a file that was made of ``loop.step``; inputs and outputs are where they were.

    Raises:
        ModelError: States have other types there.
    """
    former = model.graphs[loop.number]
    nexts = iter(step.outputs)
    known: dict[str, Tensor] = {}
    outputs = []
    for state, source in zip(loop.states, step.inputs, strict=True):
        if state is not None and state not in known:
            known[state] = next(nexts)
        outputs.append(source if state is None else known[state])
    if [t.type for t in (*step.inputs, *outputs)] != [t.type for t in (*former.inputs, *former.outputs)]:
        raise ModelError(f"loop '{loop.name}': its states have other types in the file")
    _open_sizes(step, former)
    model.graphs[loop.number] = replace(step, outputs=outputs, name=former.name)


def _open_sizes(step: Graph, former: Graph) -> None:
    """Opens the sizes that were open in the body that the step was made of."""
    known = {t.name: t for t in former.tensors() if -1 in (t.shape_signature or ())}
    pairs = [(t, known[t.name]) for t in step.tensors() if t.name in known]
    for tensor, other in (*pairs, *zip(step.inputs, former.inputs, strict=True)):
        if len(tensor.shape) == len(other.shape):
            tensor.shape_signature = other.shape_signature
