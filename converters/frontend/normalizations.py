"""What a model's first batch normalizations expect of their inputs, and a function that computes these inputs.

Moving averages are the only record in a model of the data it was trained on. A float .tflite file has none: there they
are folded into the weights. They are found in TensorFlow's graph, where Keras of both generations and SavedModels are
the same: one fused operator (Keras 2), or ``x * (rsqrt(variance + epsilon) * gamma) + (beta - mean * ...)`` (Keras 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from converters.native_logs import quiet

MOST = 4  # a network of several branches has a first normalization in each; more tell nothing new
_PASSED = ("Identity", "ReadVariableOp", "Cast", "Reshape")  # between a constant and where it is used


@dataclass(frozen=True)
class Normalization:
    """One batch normalization.

    Attributes:
        name: the last part of its path in TensorFlow's graph: the layer's, to which Keras 3 adds a number.
        mean, variance: moving averages, (channels,).
    """

    name: str
    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class FirstNormalizations:
    """The batch normalizations that no other one comes before.

    Attributes:
        found: at most :data:`MOST`.
        run: one sample (input name -> array with batch dimension) -> the input of each, (positions, channels).
    """

    found: tuple[Normalization, ...]
    run: Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class _Site:
    """Where a normalization reads: its operator, its input and the axis of the channels."""

    op: Any
    tensor: Any
    axis: int
    mean: np.ndarray
    variance: np.ndarray


def first_normalizations(trace: Callable[[], Any]) -> FirstNormalizations | None:
    """The first batch normalizations of a model; None if it has none with statistics in them.

    Args:
        trace: gives the model as a concrete TensorFlow function, whose inputs are named as in samples.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with quiet():
        traced = trace()
        if not _may_normalize(traced):  # freezing takes several copies of all weights
            return None
        frozen: Any = convert_variables_to_constants_v2(traced)
    sites = _first(_sites(frozen.graph.get_operations()))
    if not sites:
        return None
    pruned = frozen.prune(frozen.inputs, [site.tensor for site in sites])
    names = [tensor.op.name for tensor in frozen.inputs]

    def run(sample: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        import tensorflow as tf

        values = pruned(*(tf.constant(sample[name]) for name in names))
        pairs = zip(values, sites, strict=True)
        return [np.moveaxis(v.numpy(), s.axis, -1).reshape(-1, len(s.mean)) for v, s in pairs]

    return FirstNormalizations(tuple(Normalization(_name(s.op), s.mean, s.variance) for s in sites), run)


def _may_normalize(traced: Any) -> bool:
    """Whether operators that normalizations are made of are anywhere in a function, or in those that it calls."""
    graph = traced.graph.as_graph_def()
    nodes = chain(graph.node, *(function.node_def for function in graph.library.function))
    return any(node.op == "Rsqrt" or node.op.startswith("FusedBatchNorm") for node in nodes)


def _sites(operations: Sequence[Any]) -> list[_Site]:
    found = (_fused(op) if op.type.startswith("FusedBatchNorm") else _composed(op) for op in operations)
    # Averages that never moved say that the model was not trained, and nothing about data.
    return [site for site in found if site is not None and (site.mean.any() or (site.variance != 1).any())]


def _fused(op: Any) -> _Site | None:
    mean, variance = (_constant(op.inputs[i]) for i in (3, 4))
    if op.get_attr("is_training") or mean is None or variance is None or not mean.size:
        return None
    axis = 1 if op.get_attr("data_format") == b"NCHW" else -1
    return _Site(op, op.inputs[0], axis, mean.ravel(), variance.ravel())


def _composed(op: Any) -> _Site | None:
    """``x * inverse``, with ``mean * inverse`` beside it and ``inverse = rsqrt(variance + epsilon) [* gamma]``."""
    if op.type != "Mul":
        return None
    for tensor, inverse in (op.inputs, reversed(list(op.inputs))):
        variance = _variance(inverse)
        if variance is None or not tensor.shape.rank or _constant(tensor) is not None:
            continue
        for mean in _factors(inverse):
            if mean.size == variance.size:
                # Keras 3 shapes the averages as (1, channels, 1, 1) where channels do not come last.
                axis = int(np.argmax(inverse.shape)) if (inverse.shape.rank or 0) > 1 else -1
                return _Site(op, tensor, axis, mean.ravel(), variance.ravel())
    return None


def _factors(tensor: Any) -> Iterator[np.ndarray]:
    """The constants that a tensor is multiplied by."""
    for op in tensor.consumers():
        for factor in op.inputs if op.type == "Mul" else ():
            if factor is not tensor and (value := _constant(factor)) is not None:
                yield value


def _name(op: Any) -> str:
    inner = [part for part in op.name.split("/")[:-1] if part != "batchnorm"]
    return inner[-1] if inner else op.name


def _variance(inverse: Any) -> np.ndarray | None:
    op = _source(inverse)
    if op.type == "Mul":  # by gamma
        op = next((o for o in map(_source, op.inputs) if o.type == "Rsqrt"), op)
    if op.type != "Rsqrt":
        return None
    added = _source(op.inputs[0])
    if not added.type.startswith("Add"):
        return None
    values = [v for v in map(_constant, added.inputs) if v is not None]
    return max(values, key=lambda v: v.size) if len(values) == 2 else None  # the other one is epsilon


def _source(tensor: Any) -> Any:
    while tensor.op.type in _PASSED:
        tensor = tensor.op.inputs[0]
    return tensor.op


def _constant(tensor: Any) -> np.ndarray | None:
    import tensorflow as tf

    op = _source(tensor)
    if op.type != "Const":
        return None
    return np.asarray(tf.make_ndarray(op.get_attr("value")), np.float64)


def _first(sites: Sequence[_Site]) -> list[_Site]:
    """Those that depend on none of the others."""
    others = {site.op for site in sites}
    return list(islice((site for site in sites if _ancestors(site.tensor.op).isdisjoint(others)), MOST))


def _ancestors(op: Any) -> set[Any]:
    seen, waiting = set(), [op]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += [tensor.op for tensor in current.inputs]
    return seen
