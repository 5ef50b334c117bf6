"""Which layers of a Keras model write an int8 tensor of the file, and which tensor that is.

TensorFlow fuses layers, so that not all that a Keras layer hands on is rounded: of a convolution, its normalization
and its activation the file has one tensor. Which one is told by the names in the file, and believed only where the
values are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from converters.errors import FileFormatError
from converters.layers.kinds import kind_of
from converters.layers.op_layers import fused_layers, last_tensors
from converters.tflite.graph import Graph, Model, Op, Tensor, TensorType
from tfmpq.activations.subject import MIXING
from tfmpq.activations.values.inner_values import inner_values
from tfmpq.keras.int8_values import Int8Values
from tfmpq.keras.rebuild import Copies, rebuild

_SAME = 1e-3  # of the largest value: float32 sums differ by less, another tensor by more

Steps = tuple[float, int]  # scale and zero point


def tensors_of_layers(model: Model, paths: Sequence[str]) -> dict[str, Tensor]:
    """The tensor that each layer hands on; layers that write none, or none of their own, are left out.

    Args:
        model: of the float file.
        paths: of the layers, in the order in which they compute.
    """
    order = {path: number for number, path in enumerate(paths)}
    found: dict[Tensor, str] = {}
    for tensor, names in fused_layers(model).items():
        own = [name for name in names if name in order]
        if own and tensor.type == TensorType.FLOAT32:
            found[tensor] = max(own, key=order.__getitem__)
    last = last_tensors(model)
    return {path: tensor for tensor, path in found.items() if last.get(path) is tensor}


def int8_steps(graph: Graph) -> dict[str, Steps]:
    """Scale and zero point of int8 activations by name."""
    found = (t for t in graph.tensors() if t.data is None and t.type == TensorType.INT8 and t.quantization is not None)
    return {tensor.name: (tensor.scale, tensor.zero_point) for tensor in found}


def rounded_anew(graph: Graph, steps: Mapping[str, Steps], trained: Collection[Op]) -> list[Tensor]:
    """Activations that the file rounds to int8 and does not give out.

    Left out is what has the values of what was read (pooled maxima, other shapes), and what one layer alone reads that
    has a trained step: the tensor has that step.

    Args:
        graph: float.
        steps: of its int8 twin.
        trained: operators that read at trained steps.
    """
    readers = graph.consumers()

    def ends(tensor: Tensor) -> list[Op | None]:
        found: list[Op | None] = [None] if tensor in graph.outputs else []
        for op in readers.get(tensor, ()):
            found += ends(op.outputs[0]) if _passes_on(op, steps) else [op]
        return found

    result = []
    for op in graph.ops:
        for tensor in op.outputs:
            last = ends(tensor)
            one_step = len(last) == 1 and last[0] in trained
            if tensor.name in steps and tensor not in graph.outputs and not one_step and not _passes_on(op, steps):
                result.append(tensor)
    return result


def _passes_on(op: Op, steps: Mapping[str, Steps]) -> bool:
    """Whether what it writes are values that it reads, in the same steps."""
    read = [t for t in op.inputs if t is not None and t.data is None]
    if len(read) != 1 or len(op.outputs) != 1 or kind_of(op) is not None or op.name in MIXING:
        return False
    known = steps.get(read[0].name)
    return known is not None and known == steps.get(op.outputs[0].name)


def same_values(
    model: Any,
    expand: Callable[[Any, Copies], list[Any]],
    candidates: Mapping[int, Tensor],
    written: Model,
    sample: Mapping[str, np.ndarray],
    inputs: Sequence[str],
) -> set[int]:
    """Those of the layers that hand on the very values of their tensors.

    Args:
        model: from Keras.
        expand: gives the float layers in place of each of its layers, as for :func:`tfmpq.keras.rebuild.rebuild`.
        candidates: tensors by id of a layer.
        written: the model's float file.
        sample: inputs by name.
        inputs: their names in the model's order.
    """
    seen: dict[int, list[np.ndarray]] = {number: [] for number in candidates}

    def with_probe(layer: Any, copies: Copies) -> list[Any]:
        layers = expand(layer, copies)
        if id(layer) in seen and layers:
            probe = Int8Values(name=f"{layer.name}_values")
            probe.observer = partial(_keep, seen[id(layer)])
            layers.append(probe)
        return layers

    probed = rebuild(model, with_probe)
    structure = probed.inputs[0] if isinstance(probed, keras.Sequential) else probed.input
    probed(keras.tree.pack_sequence_as(structure, [sample[name] for name in inputs]), training=False)
    try:
        wanted = next(iter(inner_values(written, [*dict.fromkeys(candidates.values())], [sample])))
    except FileFormatError:  # no runtime runs these parts by themselves
        return set()
    return {number for number, tensor in candidates.items() if _agree(seen[number], wanted[tensor])}


def _keep(seen: list[np.ndarray], values: Any) -> None:
    if hasattr(values, "numpy"):  # not when the graph is built
        seen.append(values.numpy())


def _agree(seen: Sequence[np.ndarray], wanted: np.ndarray) -> bool:
    if len(seen) != 1 or seen[0].size != wanted.size:  # used several times, or not at all
        return False
    limit = _SAME * float(np.abs(wanted).max(initial=0.0))
    return bool(np.abs(seen[0].ravel() - wanted.ravel()).max(initial=0.0) <= limit)
