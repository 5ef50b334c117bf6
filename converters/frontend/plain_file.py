"""A float .tflite file as others write them -> one that TensorFlow's quantizer takes: one entry point, float32 alone.

Files that are so already come back as they are, byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ModelError, OptionError
from converters.tflite.calls import arranged, reached
from converters.tflite.graph import BuiltinOperator, Model, Op, Signature, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save

SERVING = "serving_default"
# Entries of the metadata that steer how TensorFlow reads a file. With the first one, which litert-torch writes, its
# quantizer meets StableHLO constants and leaves every layer in float; the second hides operators from it that must run
# in a certain order, which is that of the file anyway.
CONTROL_DEPENDENCIES = "model_control_dependencies"
_STEERING = ("keep_stablehlo_constant", CONTROL_DEPENDENCIES)
_WIDENING = {BuiltinOperator.DEQUANTIZE, BuiltinOperator.CAST}


def plain_file(content: bytes, signature: str | None, source: str) -> bytes:
    """The file with one entry point, float16 constants as float32, and nothing that leads the quantizer astray.

    Args:
        content: a valid .tflite file.
        signature: key of the entry point; None: the only one, or ``serving_default``.
        source: for messages.

    Raises:
        ModelError: There are several entry points, and none was named.
        OptionError: There is no such signature.
    """
    model = load(content)
    found = without_metadata(_gathering(widened(_one_entry(model, signature, source))), _STEERING)
    return content if found is model else save(found)


def choose_signature(keys: list[str], signature: str | None, source: str) -> str:
    """The key asked for, or that of the only or the serving signature.

    Raises:
        ModelError: There are several, and none was named.
        OptionError: There is no such signature.
    """
    if signature is not None:
        if signature not in keys:
            has = f"has the signatures {keys}" if keys else "has no signatures: leave the option out"
            raise OptionError(f"signature={signature!r}: {source} {has}.")
        return signature
    if SERVING in keys:
        return SERVING
    if not keys:
        raise ModelError(f"{source} has no signatures, so what it computes is not said. Export it with `signatures=`.")
    if len(keys) != 1:
        raise ModelError(
            f"{source} has the signatures {keys}, and tfmpq converts one: '{SERVING}' or the only one unless told. "
            f"Name it: signature={keys[0]!r}. (activations='float' keeps all of a .tflite file.)"
        )
    return keys[0]


# ---------------------------------------------------------------- entry points


def _one_entry(model: Model, key: str | None, source: str) -> Model:
    signatures = model.signatures
    same = bool(signatures) and all(s.graph is model.graph for s in signatures)
    if key is None and (not signatures or (same and SERVING not in [s.key for s in signatures])):
        return model  # one graph, whatever its signatures call it
    chosen = choose_signature([s.key for s in signatures], key, source)
    entry = next(s for s in signatures if s.key == chosen)
    if same and entry is signatures[0]:
        return model
    return _reduced(model, entry)


def _reduced(model: Model, entry: Signature) -> Model:
    """The model with the graph of one signature in front, and of the others those that it calls."""
    return arranged(model, reached([entry.graph], model), [entry])


# ---------------------------------------------------------------- float16


def widened(model: Model) -> Model:
    """Float16 constants that DEQUANTIZE or CAST makes float32 of, made so here."""
    if not any(_widens(op) for graph in model.graphs for op in graph.ops):
        return model
    clone = model.clone().model
    for graph in clone.graphs:
        for op in graph.ops:
            if _widens(op):
                with np.errstate(invalid="ignore"):  # a NaN is found and located later
                    op.outputs[0].data = op.input(0).array().astype(np.float32).tobytes()
                op.outputs[0].name = op.input(0).name or op.outputs[0].name
        graph.ops = [op for op in graph.ops if not _widens(op)]
    return clone


def _widens(op: Op) -> bool:
    if op.code not in _WIDENING or op.outputs[0].type != TensorType.FLOAT32:
        return False
    source = op.input(0)
    sparse = getattr(source.raw, "sparsity", None) is not None
    return source.type == TensorType.FLOAT16 and source.data is not None and not sparse


def _gathering(model: Model) -> Model:
    """EMBEDDING_LOOKUP as GATHER: of the former, TensorFlow's quantizer makes what no runtime accepts."""
    if not any(op.code == BuiltinOperator.EMBEDDING_LOOKUP for graph in model.graphs for op in graph.ops):
        return model
    clone = model.clone().model
    for op in (op for graph in clone.graphs for op in graph.ops if op.code == BuiltinOperator.EMBEDDING_LOOKUP):
        op.code, op.inputs = BuiltinOperator.GATHER, [op.input(1), op.input(0)]
        op.options_type, op.options = schema.BuiltinOptions.GatherOptions, schema.GatherOptionsT()
    return clone


def without_metadata(model: Model, names: Collection[str]) -> Model:
    """The model without some entries of its metadata; itself where it has none of them."""
    if model.metadata.keys().isdisjoint(names):
        return model
    clone = model.clone().model
    clone.metadata = {name: data for name, data in clone.metadata.items() if name not in names}
    return clone
