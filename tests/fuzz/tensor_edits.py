"""Edits of tensors: shapes, types, names, scales."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.fuzz.edits import changed_numbers, edit, some_graph, some_tensor
from tests.fuzz.values import NUMBERS, REALS, SIZES, TEXTS, integer_for


@edit
def shape(model: Any, rng: random.Random) -> None:
    tensor = some_tensor(model, rng)
    if rng.random() < 0.1:
        tensor.shape = rng.choice(([1] * 65, [2**16] * 4, [2**31 - 1] * 3 + [0], [2**25, 0], [0], [0, 2**31 - 1]))
        return
    tensor.shape = changed_numbers(tensor.shape, rng, lambda: integer_for(rng, SIZES))


@edit
def shape_signature(model: Any, rng: random.Random) -> None:
    tensor = some_tensor(model, rng)
    start = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    tensor.shapeSignature = changed_numbers(start, rng, lambda: integer_for(rng, SIZES))
    tensor.hasRank = rng.random() < 0.5


@edit
def element_type(model: Any, rng: random.Random) -> None:
    some_tensor(model, rng).type = rng.choice((*range(25), 127, -128))


@edit
def buffer_number(model: Any, rng: random.Random) -> None:
    some_tensor(model, rng).buffer = rng.choice((0, rng.randrange(len(model.buffers)), len(model.buffers), 2**32 - 1))


@edit
def tensor_name(model: Any, rng: random.Random) -> None:
    graph = some_graph(model, rng)
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
        values = rng.choice((None, [], values[:1], values * 2, [*values, rng.choice(REALS)]))
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
    tensor = some_tensor(model, rng)
    what = rng.randrange(4)
    if what == 0:
        tensor.quantization = None
    elif what == 1:
        tensor.quantization = some_tensor(model, rng).quantization
    elif what == 2:
        tensor.quantization = schema.QuantizationParametersT()
    else:
        made = _quantization(model, rng)
        made.min = made.max = np.asarray([rng.choice(REALS)] * rng.randrange(4), np.float32)
        details = rng.choice((schema.CustomQuantizationT, schema.BlockwiseQuantizationT))()
        made.details, made.detailsType = details, rng.randrange(4)


def _quantization(model: Any, rng: random.Random) -> Any:
    """Quantization parameters; those of a tensor that has some, more often than not."""
    tensors = some_graph(model, rng).tensors
    scaled = [t for t in tensors if t.quantization is not None and t.quantization.scale is not None]
    tensor = rng.choice(scaled if scaled and rng.random() < 0.9 else tensors)
    if tensor.quantization is None:
        tensor.quantization = schema.QuantizationParametersT()
    return tensor.quantization


@edit
def sparsity(model: Any, rng: random.Random) -> None:
    tensor = some_tensor(model, rng)
    made = schema.SparsityParametersT()
    made.traversalOrder = [integer_for(rng, (0, 1, 2)) for _ in range(rng.randrange(4))]
    made.dimMetadata = [schema.DimensionMetadataT() for _ in range(rng.randrange(4))]
    for metadata in made.dimMetadata:
        metadata.format, metadata.denseSize = rng.randrange(3), integer_for(rng, SIZES)
    tensor.sparsity = made


@edit
def tensor_flags(model: Any, rng: random.Random) -> None:
    tensor = some_tensor(model, rng)
    what = rng.randrange(3)
    if what == 0:
        tensor.isVariable = not tensor.isVariable
    elif what == 1:
        tensor.variantTensors = [schema.VariantSubTypeT() for _ in range(rng.randrange(3))]
    else:
        tensor.externalBuffer = integer_for(rng, (0, 1, 2**32 - 1)) % 2**32


@edit
def more_tensors(model: Any, rng: random.Random) -> None:
    graph = some_graph(model, rng)
    graph.tensors.extend([rng.choice(graph.tensors)] * rng.choice((1, 1, 1, 2, 2, 2, 30, 2000)))
