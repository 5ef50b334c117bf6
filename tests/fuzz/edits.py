"""Edits through the schema's objects: each changes one thing of a file that stays a well-formed flatbuffer."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.fuzz.values import NUMBERS, REALS, SIZES, TEXTS, any_bytes, integer_for

Edit = Callable[[Any, random.Random], None]
EDITS: dict[str, Edit] = {}


def edit(function: Edit) -> Edit:
    """Registers an edit under its function's name."""
    EDITS[function.__name__] = function
    return function


def _graph(model: Any, rng: random.Random) -> Any:
    return rng.choice(model.subgraphs)


def _tensor(model: Any, rng: random.Random) -> Any:
    return rng.choice(_graph(model, rng).tensors)


def _op(model: Any, rng: random.Random) -> Any:
    return rng.choice(_graph(model, rng).operators)


def _list(values: Any) -> list[int]:
    return [] if values is None else [int(v) for v in values]


def changed_numbers(values: Any, rng: random.Random, pool: Callable[[], int]) -> list[int] | None:
    """A list of numbers with one of them replaced, dropped, repeated or moved, or with many more, or none at all."""
    numbers = _list(values)
    what = rng.randrange(9)
    if what == 0:
        return None if rng.random() < 0.5 else []
    if what == 1:
        return numbers + [pool()] * rng.choice((1, 1, 2, 70, 5000))
    if not numbers or what == 2:
        numbers.insert(rng.randrange(len(numbers) + 1), pool())
        return numbers
    at = rng.randrange(len(numbers))
    if what == 3:
        del numbers[at]
    elif what == 4:
        numbers.insert(at, numbers[at])
    elif what == 5:
        other = rng.randrange(len(numbers))
        numbers[at], numbers[other] = numbers[other], numbers[at]
    else:
        numbers[at] = pool()
    return numbers


# ---------------------------------------------------------------- tensors


@edit
def shape(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    if rng.random() < 0.1:
        tensor.shape = rng.choice(([1] * 65, [2**16] * 4, [2**31 - 1] * 3 + [0], [2**25, 0], [0], [0, 2**31 - 1]))
        return
    tensor.shape = changed_numbers(tensor.shape, rng, lambda: integer_for(rng, SIZES))


@edit
def shape_signature(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    start = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    tensor.shapeSignature = changed_numbers(start, rng, lambda: integer_for(rng, SIZES))
    tensor.hasRank = rng.random() < 0.5


@edit
def element_type(model: Any, rng: random.Random) -> None:
    _tensor(model, rng).type = rng.choice((*range(25), 127, -128))


@edit
def buffer_number(model: Any, rng: random.Random) -> None:
    _tensor(model, rng).buffer = rng.choice((0, rng.randrange(len(model.buffers)), len(model.buffers), 2**32 - 1))


@edit
def tensor_name(model: Any, rng: random.Random) -> None:
    graph = _graph(model, rng)
    tensor = rng.choice(graph.tensors)
    own = tensor.name or b""
    tensor.name = rng.choice(
        (*TEXTS, rng.choice(graph.tensors).name, own + b"/point1", own + b"/sum1", own[:-1], own * 50)
    )


@edit
def scale(model: Any, rng: random.Random) -> None:
    quantization = _quantization(model, rng)
    values = [] if quantization.scale is None else [float(v) for v in quantization.scale]
    what = rng.randrange(5)
    if what == 0:
        values = rng.choice((None, [], values[:1], values * 2, values + [rng.choice(REALS)]))
    elif what == 1:
        values = [v * rng.choice((0.5, 2.0, 1e6, 1e-6, -1.0)) for v in values]
    elif values:
        values[rng.randrange(len(values))] = rng.choice(REALS)
    quantization.scale = None if values is None else np.asarray(values, np.float32)


@edit
def zero_point(model: Any, rng: random.Random) -> None:
    quantization = _quantization(model, rng)
    changed = changed_numbers(quantization.zeroPoint, rng, lambda: rng.choice((0, 1, -1, -128, 127, 300, *NUMBERS)))
    quantization.zeroPoint = None if changed is None else np.asarray(changed, np.int64)


@edit
def axis(model: Any, rng: random.Random) -> None:
    _quantization(model, rng).quantizedDimension = rng.choice((0, 1, 2, 3, 4, -1, 2**31 - 1, -(2**31)))


@edit
def quantization(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    what = rng.randrange(4)
    if what == 0:
        tensor.quantization = None
    elif what == 1:
        tensor.quantization = _tensor(model, rng).quantization
    elif what == 2:
        tensor.quantization = schema.QuantizationParametersT()
    else:
        made = _quantization(model, rng)
        made.min = made.max = np.asarray([rng.choice(REALS)] * rng.randrange(4), np.float32)
        details = rng.choice((schema.CustomQuantizationT, schema.BlockwiseQuantizationT))()
        made.details, made.detailsType = details, rng.randrange(4)


def _quantization(model: Any, rng: random.Random) -> Any:
    """Quantization parameters; those of a tensor that has some, more often than not."""
    tensors = _graph(model, rng).tensors
    scaled = [t for t in tensors if t.quantization is not None and t.quantization.scale is not None]
    tensor = rng.choice(scaled if scaled and rng.random() < 0.9 else tensors)
    if tensor.quantization is None:
        tensor.quantization = schema.QuantizationParametersT()
    return tensor.quantization


@edit
def sparsity(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    made = schema.SparsityParametersT()
    made.traversalOrder = [integer_for(rng, (0, 1, 2)) for _ in range(rng.randrange(4))]
    made.dimMetadata = [schema.DimensionMetadataT() for _ in range(rng.randrange(4))]
    for metadata in made.dimMetadata:
        metadata.format, metadata.denseSize = rng.randrange(3), integer_for(rng, SIZES)
    tensor.sparsity = made


@edit
def tensor_flags(model: Any, rng: random.Random) -> None:
    tensor = _tensor(model, rng)
    what = rng.randrange(3)
    if what == 0:
        tensor.isVariable = not tensor.isVariable
    elif what == 1:
        tensor.variantTensors = [schema.VariantSubTypeT() for _ in range(rng.randrange(3))]
    else:
        tensor.externalBuffer = integer_for(rng, (0, 1, 2**32 - 1)) % 2**32


@edit
def more_tensors(model: Any, rng: random.Random) -> None:
    graph = _graph(model, rng)
    graph.tensors.extend([rng.choice(graph.tensors)] * rng.choice((1, 1, 1, 2, 2, 2, 30, 2000)))


# ---------------------------------------------------------------- operators


@edit
def op_inputs(model: Any, rng: random.Random) -> None:
    graph = _graph(model, rng)
    op = rng.choice(graph.operators)
    op.inputs = changed_numbers(op.inputs, rng, lambda: _tensor_number(graph, rng))


@edit
def op_outputs(model: Any, rng: random.Random) -> None:
    graph = _graph(model, rng)
    op = rng.choice(graph.operators)
    if rng.random() < 0.2:  # it makes what it reads
        op.outputs = list(_list(op.inputs))
        return
    op.outputs = changed_numbers(op.outputs, rng, lambda: _tensor_number(graph, rng))


def _tensor_number(graph: Any, rng: random.Random) -> int:
    return rng.choice((rng.randrange(len(graph.tensors)),) * 6 + (-1, len(graph.tensors), 2**31 - 1, -(2**31)))


@edit
def op_order(model: Any, rng: random.Random) -> None:
    ops = _graph(model, rng).operators
    if rng.random() < 0.3:
        ops.reverse()
        return
    ops.insert(rng.randrange(len(ops)), ops.pop(rng.randrange(len(ops))))


@edit
def fewer_ops(model: Any, rng: random.Random) -> None:
    ops = _graph(model, rng).operators
    if rng.random() < 0.1:
        ops.clear()
    else:
        del ops[rng.randrange(len(ops))]


@edit
def more_ops(model: Any, rng: random.Random) -> None:
    ops = _graph(model, rng).operators
    op = rng.choice(ops)
    ops[ops.index(op) : ops.index(op)] = [op] * rng.choice((1, 1, 1, 2, 2, 2, 40, 1000))


@edit
def doubling(model: Any, rng: random.Random) -> None:
    """A chain of ADD(t, t) before an operator."""
    graph = _graph(model, rng)
    op = rng.choice(graph.operators)
    at, inputs = graph.operators.index(op), _list(op.inputs)
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
    op = _op(model, rng)
    op.builtinOptions = None
    if rng.random() < 0.5:
        op.builtinOptionsType = rng.choice((0, rng.randrange(1, 127)))


@edit
def other_options(model: Any, rng: random.Random) -> None:
    """Options of another kind of operator, with or without their number."""
    op = _op(model, rng)
    kinds = [name for name in vars(schema.BuiltinOptions) if not name.startswith("_") and name != "NONE"]
    kind = rng.choice(kinds)
    op.builtinOptions = getattr(schema, f"{kind}T")()
    if rng.random() < 0.7:
        op.builtinOptionsType = getattr(schema.BuiltinOptions, kind)


@edit
def option_value(model: Any, rng: random.Random) -> None:
    ops = [op for op in _graph(model, rng).operators if op.builtinOptions is not None]
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
    op, graph = _op(model, rng), _graph(model, rng)
    what = rng.randrange(5)
    if what == 0:
        op.customOptions = any_bytes(rng, 40)
    elif what == 1:
        op.intermediates = [_tensor_number(graph, rng) for _ in range(rng.randrange(1, 4))]
    elif what == 2:
        op.mutatingVariableInputs = [rng.random() < 0.5 for _ in range(rng.randrange(6))]
    elif what == 3:
        op.largeCustomOptionsOffset, op.largeCustomOptionsSize = (abs(integer_for(rng, SIZES)) for _ in range(2))
    else:
        op.builtinOptions2, op.builtinOptions2Type = schema.StablehloWhileOptionsT(), rng.randrange(1, 22)


@edit
def op_code(model: Any, rng: random.Random) -> None:
    if rng.random() < 0.5:
        _op(model, rng).opcodeIndex = rng.choice((rng.randrange(len(model.operatorCodes)),) * 4 + (999, 2**32 - 1))
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
    op = _op(model, rng)
    op.opcodeIndex = len(model.operatorCodes) - 1
    kind = {"WHILE": "WhileOptions", "IF": "IfOptions", "CALL_ONCE": "CallOnceOptions", "CALL": "CallOptions"}[name]
    op.builtinOptions, op.builtinOptionsType = getattr(schema, f"{kind}T")(), getattr(schema.BuiltinOptions, kind)
    for field in vars(op.builtinOptions):
        setattr(op.builtinOptions, field, rng.choice((0, 1, len(model.subgraphs), -1 if name != "CALL" else 7)))


# ---------------------------------------------------------------- graphs, buffers, signatures, the model


@edit
def graph_ends(model: Any, rng: random.Random) -> None:
    graph = _graph(model, rng)
    side = rng.choice(("inputs", "outputs"))
    setattr(graph, side, changed_numbers(getattr(graph, side), rng, lambda: _tensor_number(graph, rng)))


@edit
def graphs(model: Any, rng: random.Random) -> None:
    what = rng.randrange(5)
    if what == 0:
        model.subgraphs = rng.choice((None, []))
    elif what == 1:
        model.subgraphs.extend([_graph(model, rng)] * rng.choice((1, 1, 2, 2, 30)))
    elif what == 2:
        model.subgraphs.insert(0, schema.SubGraphT())
    elif what == 3:
        _graph(model, rng).name = rng.choice(TEXTS)
    else:
        setattr(_graph(model, rng), rng.choice(("tensors", "operators")), rng.choice((None, [])))


@edit
def buffer_data(model: Any, rng: random.Random) -> None:
    filled = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data)]
    buffer = rng.choice(filled if filled and rng.random() < 0.9 else model.buffers)
    data = np.array([] if buffer.data is None else buffer.data, np.uint8)
    what = rng.randrange(8)
    if what == 0:
        buffer.data = rng.choice((None, data[:0], data[: len(data) // 2], data[:-1]))
    elif what == 1:
        buffer.data = np.concatenate([data, np.zeros(rng.choice((1, 3, 4, 1000, 100_000)), np.uint8)])
    elif what == 2:
        buffer.data = np.full(len(data), rng.choice((0, 0x7F, 0x80, 0xFF)), np.uint8)
    elif what == 3:
        buffer.data = any_bytes(rng, len(data))
    elif what == 4 and len(data) >= 4:
        whole = data[: len(data) // 4 * 4].copy()
        whole.view("<u4")[rng.randrange(len(whole) // 4)] = rng.choice((0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF))
        buffer.data = whole
    elif what == 5 and len(data) >= 4:
        whole = data[: len(data) // 4 * 4].copy()
        whole.view("<i4")[rng.randrange(len(whole) // 4)] = integer_for(rng, SIZES)
        buffer.data = whole
    elif what == 6:
        buffer.offset, buffer.size = rng.choice((0, 1, 2, 100, 2**40, 2**64 - 1)), rng.choice((0, 1, 64, 2**40, 2**64 - 1))
    else:
        buffer.data = rng.choice(model.buffers).data


@edit
def buffers(model: Any, rng: random.Random) -> None:
    what = rng.randrange(4)
    if what == 0:
        model.buffers = rng.choice((None, [], model.buffers[:1], model.buffers[:-1]))
    elif what == 1:
        model.buffers.extend([rng.choice(model.buffers)] * rng.choice((1, 1, 500)))
    elif what == 2:
        at, other = rng.randrange(len(model.buffers)), rng.randrange(len(model.buffers))
        model.buffers[at], model.buffers[other] = model.buffers[other], model.buffers[at]
    else:
        model.externalBuffers = [schema.ExternalBufferT() for _ in range(rng.randrange(1, 3))]
        model.externalBufferGroups = [schema.ExternalBufferGroupT() for _ in range(rng.randrange(3))]


@edit
def signatures(model: Any, rng: random.Random) -> None:
    if not model.signatureDefs:
        made = schema.SignatureDefT()
        made.inputs, made.outputs, made.signatureKey = [], [], rng.choice(TEXTS)
        model.signatureDefs = [made]
    signature = rng.choice(model.signatureDefs)
    entries = getattr(signature, rng.choice(("inputs", "outputs"))) or [schema.TensorMapT()]
    entry = rng.choice(entries)
    what = rng.randrange(8)
    if what == 0:
        entry.name = rng.choice((*TEXTS, rng.choice(entries).name))
    elif what == 1:
        entry.tensorIndex = rng.choice((0, 1, 5, 9999, 2**32 - 1))
    elif what == 2:
        signature.subgraphIndex = rng.choice((1, 2, 2**32 - 1))
    elif what == 3:
        signature.signatureKey = rng.choice(TEXTS)
    elif what == 4:
        model.signatureDefs.extend([signature] * rng.choice((1, 1, 50)))
    elif what == 5:
        model.signatureDefs = rng.choice((None, []))
    elif what == 6:
        setattr(signature, rng.choice(("inputs", "outputs")), rng.choice((None, [], entries * 2, entries[:-1])))
    else:
        signature.inputs, signature.outputs = signature.outputs, signature.inputs


@edit
def model_fields(model: Any, rng: random.Random) -> None:
    what = rng.randrange(4)
    if what == 0:
        model.version = rng.choice((0, 1, 2, 4, 2**32 - 1))
    elif what == 1:
        model.description = rng.choice(TEXTS)
    elif what == 2:
        model.operatorCodes = rng.choice((None, [], model.operatorCodes[:-1], model.operatorCodes * 40))
    else:
        model.metadataBuffer = [integer_for(rng, (0, 1, 99)) for _ in range(rng.randrange(4))]
