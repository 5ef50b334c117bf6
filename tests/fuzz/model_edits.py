"""Edits of graphs, buffers, signatures and of the model's own fields."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.fuzz.edits import changed_numbers, edit, some_graph, tensor_number
from tests.fuzz.values import SIZES, TEXTS, any_bytes, integer_for


@edit
def graph_ends(model: Any, rng: random.Random) -> None:
    graph = some_graph(model, rng)
    side = rng.choice(("inputs", "outputs"))
    setattr(graph, side, changed_numbers(getattr(graph, side), rng, lambda: tensor_number(graph, rng)))


@edit
def graphs(model: Any, rng: random.Random) -> None:
    what = rng.randrange(5)
    if what == 0:
        model.subgraphs = rng.choice((None, []))
    elif what == 1:
        model.subgraphs.extend([some_graph(model, rng)] * rng.choice((1, 1, 2, 2, 30)))
    elif what == 2:
        model.subgraphs.insert(0, schema.SubGraphT())
    elif what == 3:
        some_graph(model, rng).name = rng.choice(TEXTS)
    else:
        setattr(some_graph(model, rng), rng.choice(("tensors", "operators")), rng.choice((None, [])))


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
        buffer.offset, buffer.size = (
            rng.choice((0, 1, 2, 100, 2**40, 2**64 - 1)),
            rng.choice((0, 1, 64, 2**40, 2**64 - 1)),
        )
    else:
        buffer.data = rng.choice(model.buffers).data


@edit
def weights(model: Any, rng: random.Random) -> None:
    """Floats of a constant, all or a row of them, become larger, smaller, negative or nothing: a valid file, mostly."""
    tensors = [t for t in some_graph(model, rng).tensors if t.type == schema.TensorType.FLOAT32]
    filled = [t for t in tensors if model.buffers[t.buffer].data is not None and len(model.buffers[t.buffer].data)]
    buffer = model.buffers[rng.choice(filled).buffer]
    values = np.frombuffer(bytes(buffer.data), "<f4").copy()
    part = slice(None) if rng.random() < 0.5 else slice(0, rng.choice((1, 4, max(len(values) // 4, 1))))
    with np.errstate(all="ignore"):
        values[part] *= np.float32(rng.choice((0, -1, 1e-30, 1e-6, 1e-2, 10, 1e3, 1e6, 1e15, 1e30)))
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)


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
        made: Any = schema.SignatureDefT()
        made.inputs, made.outputs, made.signatureKey = [], [], rng.choice(TEXTS)
        model.signatureDefs = [made]
    signature = rng.choice(model.signatureDefs)
    entries: list[Any] = getattr(signature, rng.choice(("inputs", "outputs"))) or [schema.TensorMapT()]
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
