"""What a model's output is, told from its graph: it decides which figure says how close a quantized file is."""

from __future__ import annotations

from typing import Literal

from converters.layers.kinds import kind_of
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType, schema

OutputKind = Literal["classes", "embedding", "values"]
LEAST_EMBEDDING = 16  # shorter vectors of features are measurements rather than embeddings
_UNCHANGED = {
    getattr(BuiltinOperator, name) for name in ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "MEAN", "CAST")
}
SOFTMAXES = {BuiltinOperator.SOFTMAX, BuiltinOperator.LOG_SOFTMAX}
_NUMBERS = {TensorType.INT32, TensorType.INT64}
_BOUNDED = {BuiltinOperator.LOGISTIC, BuiltinOperator.TANH}


def output_kind(graph: Graph) -> OutputKind:
    """Classes, an embedding, or plain values.

    Only a single output of one vector a sample, (batch, n), is more than values. It is scores of classes where a
    softmax makes it, or a weight layer without activation (logits, pooled or not); it is an embedding where anything
    else but a sigmoid or tanh does (features pooled, normalized or behind a ReLU, sums of branches) and it has at least
    16 numbers.
    """
    shape = graph.outputs[0].shape
    if len(graph.outputs) != 1 or len(shape) != 2 or shape[1] < 2:
        return "values"
    op = maker(graph, graph.outputs[0])
    if op is not None and (op.code in SOFTMAXES or _is_linear(op)):
        return "classes"
    if op is None or op.code in _BOUNDED or shape[1] < LEAST_EMBEDDING:
        return "values"
    return "embedding"


def scores_tokens(graph: Graph, output: Tensor) -> bool:
    """Whether an output is logits of tokens: of a weight layer at each position, in a model that reads numbers of some.

    Of other models such an output may as well be boxes and scores, one row a place.
    """
    if len(output.shape) != 3 or not any(tensor.type in _NUMBERS for tensor in graph.inputs):
        return False
    op = maker(graph, output)
    return op is not None and _is_linear(op)


def maker(graph: Graph, tensor: Tensor) -> Op | None:
    """The op that makes a tensor's numbers, those left out that only store, move or average them, or add a bias."""
    producers = graph.producers()
    op = producers.get(tensor)
    while op is not None:
        varying = [t for t in op.inputs if t is not None and t.data is None]
        adds_bias = op.code == BuiltinOperator.ADD and len(varying) == 1 and not _activation(op)
        if not varying or (op.code not in _UNCHANGED and not adds_bias):
            break
        op = producers.get(varying[0])
    return op


def _is_linear(op: Op) -> bool:
    return kind_of(op) is not None and not _activation(op)


def _activation(op: Op) -> bool:
    none = schema.ActivationFunctionType.NONE
    return getattr(op.options, "fusedActivationFunction", none) != none
