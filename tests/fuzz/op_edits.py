"""Edits of operators: what they read and make, their order, options and codes."""

from __future__ import annotations

import random
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tests.fuzz.edits import changed_numbers, edit, numbers_of, some_graph, some_op, tensor_number
from tests.fuzz.values import REALS, SIZES, TEXTS, any_bytes, integer_for


@edit
def op_inputs(model: Any, rng: random.Random) -> None:
    graph = some_graph(model, rng)
    op = rng.choice(graph.operators)
    op.inputs = changed_numbers(op.inputs, rng, lambda: tensor_number(graph, rng))


@edit
def op_outputs(model: Any, rng: random.Random) -> None:
    graph = some_graph(model, rng)
    op = rng.choice(graph.operators)
    if rng.random() < 0.2:  # it makes what it reads
        op.outputs = list(numbers_of(op.inputs))
        return
    op.outputs = changed_numbers(op.outputs, rng, lambda: tensor_number(graph, rng))


@edit
def op_order(model: Any, rng: random.Random) -> None:
    ops = some_graph(model, rng).operators
    if rng.random() < 0.3:
        ops.reverse()
        return
    ops.insert(rng.randrange(len(ops)), ops.pop(rng.randrange(len(ops))))


@edit
def fewer_ops(model: Any, rng: random.Random) -> None:
    ops = some_graph(model, rng).operators
    if rng.random() < 0.1:
        ops.clear()
    else:
        del ops[rng.randrange(len(ops))]


@edit
def more_ops(model: Any, rng: random.Random) -> None:
    ops = some_graph(model, rng).operators
    op = rng.choice(ops)
    ops[ops.index(op) : ops.index(op)] = [op] * rng.choice((1, 1, 1, 2, 2, 2, 40, 1000))


@edit
def doubling(model: Any, rng: random.Random) -> None:
    """A chain of ADD(t, t) before an operator."""
    graph = some_graph(model, rng)
    op = rng.choice(graph.operators)
    at, inputs = graph.operators.index(op), numbers_of(op.inputs)
    place = rng.randrange(len(inputs))
    code = schema.OperatorCodeT()
    code.version = 1
    model.operatorCodes.append(code)
    for _ in range(rng.choice((1, 2, 5, 30, 60))):
        source = inputs[place]
        total, add = _copy(graph.tensors[source]), schema.OperatorT()
        total.buffer = 0
        graph.tensors.append(total)
        inputs[place] = len(graph.tensors) - 1
        add.opcodeIndex, add.inputs, add.outputs = len(model.operatorCodes) - 1, [source, source], [inputs[place]]
        add.builtinOptionsType, add.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
        graph.operators.insert(at, add)
        at += 1
    op.inputs = inputs


def _copy(thing: Any) -> Any:
    made = type(thing)()
    vars(made).update(vars(thing))
    return made


@edit
def without_options(model: Any, rng: random.Random) -> None:
    op = some_op(model, rng)
    op.builtinOptions = None
    if rng.random() < 0.5:
        op.builtinOptionsType = rng.choice((0, rng.randrange(1, 127)))


@edit
def other_options(model: Any, rng: random.Random) -> None:
    """Options of another kind of operator, with or without their number."""
    op = some_op(model, rng)
    kinds = [name for name in vars(schema.BuiltinOptions) if not name.startswith("_") and name != "NONE"]
    kind = rng.choice(kinds)
    op.builtinOptions = getattr(schema, f"{kind}T")()
    if rng.random() < 0.7:
        op.builtinOptionsType = getattr(schema.BuiltinOptions, kind)


@edit
def option_value(model: Any, rng: random.Random) -> None:
    ops = [op for op in some_graph(model, rng).operators if op.builtinOptions is not None]
    options = rng.choice(ops).builtinOptions
    name = rng.choice(sorted(vars(options)))
    old = getattr(options, name)
    if isinstance(old, bool):
        new: Any = not old
    elif isinstance(old, float):
        new = rng.choice(REALS)
    elif isinstance(old, int):
        new = rng.choice((0, 1, 2, 3, 4, 5, 100, 127, -1, -128, 2**16, 2**31 - 1, -(2**31)))
    else:
        new = changed_numbers(old, rng, lambda: integer_for(rng, SIZES))
    setattr(options, name, new)


@edit
def op_extras(model: Any, rng: random.Random) -> None:
    op, graph = some_op(model, rng), some_graph(model, rng)
    what = rng.randrange(5)
    if what == 0:
        op.customOptions = any_bytes(rng, 40)
    elif what == 1:
        op.intermediates = [tensor_number(graph, rng) for _ in range(rng.randrange(1, 4))]
    elif what == 2:
        op.mutatingVariableInputs = [rng.random() < 0.5 for _ in range(rng.randrange(6))]
    elif what == 3:
        op.largeCustomOptionsOffset, op.largeCustomOptionsSize = (abs(integer_for(rng, SIZES)) for _ in range(2))
    else:
        op.builtinOptions2, op.builtinOptions2Type = schema.StablehloWhileOptionsT(), rng.randrange(1, 22)


@edit
def op_code(model: Any, rng: random.Random) -> None:
    if rng.random() < 0.5:
        some_op(model, rng).opcodeIndex = rng.choice((rng.randrange(len(model.operatorCodes)),) * 4 + (999, 2**32 - 1))
        return
    code = rng.choice(model.operatorCodes)
    what = rng.randrange(4)
    if what == 0:
        code.builtinCode = rng.choice((*range(0, 210, 7), 32, 118, 119, -1, 127, 9999, 2**31 - 1))
        code.deprecatedBuiltinCode = min(max(code.builtinCode, 0), 127)
    elif what == 1:
        code.deprecatedBuiltinCode = rng.choice((0, 3, 32, 127, -128))
    elif what == 2:
        code.customCode = rng.choice(TEXTS)
        code.builtinCode = rng.choice((code.builtinCode, 32))
    else:
        code.version = rng.choice((0, -1, 1, 5, 99, 2**31 - 1))


@edit
def control_flow(model: Any, rng: random.Random) -> None:
    """An operator becomes one that runs a subgraph: its own, another, or one that is not there."""
    code = schema.OperatorCodeT()
    name = rng.choice(("WHILE", "IF", "CALL_ONCE", "CALL"))
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    model.operatorCodes.append(code)
    op = some_op(model, rng)
    op.opcodeIndex = len(model.operatorCodes) - 1
    kind = {"WHILE": "WhileOptions", "IF": "IfOptions", "CALL_ONCE": "CallOnceOptions", "CALL": "CallOptions"}[name]
    op.builtinOptions, op.builtinOptionsType = getattr(schema, f"{kind}T")(), getattr(schema.BuiltinOptions, kind)
    for field in vars(op.builtinOptions):
        setattr(op.builtinOptions, field, rng.choice((0, 1, len(model.subgraphs), -1 if name != "CALL" else 7)))
