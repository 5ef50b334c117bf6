"""From tensor names of the exported file back to the user's Keras layer names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.layers.lstm_gates import is_lstm
from converters.tflite.graph import BuiltinOperator, Op, Tensor

# A module of PyTorch as litert-torch names it: its class, and what its parent calls it.
_TORCH_MODULE = re.compile(r"(?:\w+\.)+(?P<cls>_*[A-Z][A-Za-z0-9]*)(?:_(?P<attribute>\w+))?")
_TORCH_WRAPPER = "litert_torch._convert.to_channel_last_io.ChannelLastIOWrapper"
_MOST_PARTS = 50  # components of a name that are looked at: the work grows with their third power
_SAME_DIRECTION = 0.9999  # cosine of two kernel rows that folding a normalization has only scaled


@dataclass(frozen=True)
class LayerNames:
    """What the user calls the layers of a model.

    Attributes:
        paths: Keras paths of the layers that own a kernel, in model order; () for other models.
        keras_generation: 3, 2 or None; Keras 3 appends ``_<n>`` to every path component when exporting.
        grouped_kernels: path -> kernel of each grouped convolution, whose name TensorFlow drops.
        others: paths of the layers without a kernel, which may compute with one of another layer.
        by_output: name of what an operator writes -> its layer, where that is known already: kernels of a rewritten
            model are others.
        cell_kernels: path -> kernel of each LSTM's cell, whose name TensorFlow drops too.
    """

    paths: tuple[str, ...] = ()
    keras_generation: int | None = None
    grouped_kernels: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    others: tuple[str, ...] = ()
    by_output: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    cell_kernels: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)


def name_ops(ops: Sequence[Op], names: LayerNames) -> dict[Op, str]:
    """A name for each operator with weights, not unique where layers have several.

    Args:
        ops: operators of the float graph.
        names: what is known of its layers.
    """
    known, strip = set(names.paths), names.keras_generation == 3
    told = {op: names.by_output.get(op.outputs[0].name) for op in ops}
    found = {op: told[op] or _by_name(op, known, strip) or _by_value(op, names) for op in ops}
    unnamed = [op for op, name in found.items() if name is None]
    unused = known - set(found.values())
    others = set() if unused else set(names.others)  # what TensorFlow folded into a layer may have left it its own name
    found = {op: name or _by_name(op, others, strip) or _torch_path(op) for op, name in found.items()}
    found = {op: name or _tied(op, found) for op, name in found.items()}
    unnamed = [op for op in unnamed if found[op] is None]
    if len(unnamed) == len(unused) == 1:  # they can only belong together
        found[unnamed[0]] = unused.pop()
    return {op: name or _plain(op, strip) for op, name in found.items()}


def _tied(op: Op, found: Mapping[Op, str | None]) -> str | None:
    """The layer that owns the very values an operator computes with, an embedding for example."""
    if len(op.inputs) < 2 or op.input(1).data is None:
        return None
    shape, data = op.input(1).shape, op.input(1).data
    owners = (
        name
        for other, name in found.items()
        if name is not None and any(t is not None and t.shape == shape and t.data == data for t in other.inputs)
    )
    return next(owners, None)


def _torch_path(op: Op) -> str | None:
    """What PyTorch's ``named_modules`` calls the module; of several fused ones, that of the operator comes last."""
    for name in reversed(_candidates(op)):
        parts = name.split("/")
        modules = [_TORCH_MODULE.fullmatch(part) for part in parts]
        found = [module for module in modules if module is not None]
        if len(found) < len(parts):
            continue
        attributes = [module["attribute"] for module in found if module["attribute"]]
        if parts[0] == _TORCH_WRAPPER:
            attributes = attributes[1:]
        return ".".join(attributes) or found[-1]["cls"]
    return None


def _candidates(op: Op) -> list[str]:
    # Weights are named after their layer; output names are the fallback (grouped convolutions, shared constants).
    weight = [t.name for t in op.inputs[1:2] if t is not None and t.data is not None]
    return [part for name in [*weight, *(t.name for t in op.outputs)] for part in name.split(";")]


def name_parts(name: str, strip: bool) -> list[str]:
    """The components of a tensor name, without the number that Keras 3 adds to each if ``strip``."""
    return [re.sub(r"_\d+$", "", part) if strip else part for part in name.split("/")]


def _by_name(op: Op, known: set[str], strip: bool) -> str | None:
    return next((path for name in _candidates(op) if (path := longest_path(name_parts(name, strip), known))), None)


def longest_path(parts: list[str], known: set[str]) -> str | None:
    """The longest known path inside a tensor name."""
    # The longest known path inside the name wins: "model/block/conv/convolution" -> "block/conv". The first part is
    # the model's own name, which may be that of a layer too.
    parts = parts[-_MOST_PARTS:]
    for length in range(len(parts) - 1, 0, -1):
        for start in range(1, len(parts) - length + 1):
            path = "/".join(parts[start : start + length])
            if path in known:
                return path
    return None


def _by_value(op: Op, names: LayerNames) -> str | None:
    weight = op.optional_input(1)
    if weight is None or weight.data is None:
        return None
    if is_lstm(op):
        rows = weight.array()  # of the first gate, as in the kernel
        fitting = (p for p, k in names.cell_kernels.items() if np.array_equal(k[:, : len(rows)].T, rows))
        return next(fitting, None)
    return _by_direction(weight, names.grouped_kernels) if op.code == BuiltinOperator.CONV_2D else None


def _by_direction(weight: Tensor, kernels: Mapping[str, np.ndarray]) -> str | None:
    rows = weight.array()
    rows = rows.reshape(len(rows), -1)
    for path, kernel in kernels.items():
        other = np.moveaxis(np.asarray(kernel), -1, 0)
        other = other.reshape(len(other), -1)
        if other.shape == rows.shape:
            lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(other, axis=1)
            if (np.abs((rows * other).sum(axis=1)) >= _SAME_DIRECTION * lengths).all():
                return path
    return None


def _plain(op: Op, strip: bool) -> str:
    """The layer's part of a tensor name, for operators that are no known layer's."""
    names = _candidates(op)
    first = next((name for name in names if "/" in name), names[0])
    return "/".join(name_parts(first, strip)[:-1]) or first
