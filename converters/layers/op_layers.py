"""The Keras layer of every operator of a bare .tflite file, told from the names in it.

A file that tfmpq wrote lists its layers; elsewhere the names are a good guess: ``net_1/stem_1/convolution`` is layer
``stem`` of Keras 3, ``net/stem/Conv2D`` that of Keras 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from converters.errors import FileFormatError
from converters.layers.names import longest_path, name_parts
from converters.tflite.graph import Model, Op, Tensor
from converters.tflite.names import STRIPPED
from converters.tflite.record import METADATA_NAME, unpack_record

# How the lowerings name what they write: the layer, its number of use, the part.
_WRITTEN = re.compile(
    r"(?P<layer>.+?)(?:#\d+)?/(?:(?:int[48]/)?(?:weight|bias(?:#\d+)?)|int[48]/out|points\d+/\w+|rows\d*(?:/\w+)?|ordered|order|shape\d+)",
    re.DOTALL,
)
_KERNELS = ("convolution", "depthwise", "separable", "conv2d", "conv", "matmul", "einsum", "tensordot")
_MOST = 0.8  # operators that a Keras layer does not name itself carry no number
_INNER = {"batchnorm", "Mean", "Tensordot"}  # scopes that TensorFlow opens inside one layer


@dataclass(frozen=True)
class OpLayers:
    """Layers of the main graph's operators.

    Attributes:
        names: operator -> layer; an activation that has no name of its own belongs to the layer in front of it.
        known: layers that are named in the file for certain, as the conversion's report named them.
    """

    names: dict[Op, str]
    known: frozenset[str]


def op_layers(model: Model) -> OpLayers:
    """Names the layer of each operator of the main graph."""
    known = _recorded(model)
    written = METADATA_NAME in model.metadata
    if written:
        known |= {found for op in model.graph.ops for t in _constants(op) if (found := written_layer(t.name))}
    strip = _numbered(model)
    producers = model.graph.producers()
    names: dict[Op, str] = {}
    stripped = _record(model).get(STRIPPED) is True
    for number, op in enumerate(model.graph.ops):
        name = _name(op, known, strip, written)
        if name is None and stripped:
            name = f"op {number}"
        if name is None:  # the last operators lose their names to the signature
            before = (producers.get(t) for t in op.inputs if t is not None)
            name = next((names[p] for p in before if p in names), op.name.lower())
        names[op] = name
    return OpLayers(names, frozenset(known))


def fused_layers(model: Model) -> dict[Tensor, tuple[str, ...]]:
    """All layers that write a tensor of the main graph: those of what TensorFlow fused into one operator are named."""
    strip = _numbered(model)
    found = {}
    for tensor in (t for op in model.graph.ops for t in op.outputs):
        paths = [_layer(part, strip) for part in tensor.name.split(";") if part.count("/") > 1]
        found[tensor] = tuple(dict.fromkeys(path for path in paths if path))
    return found


def last_tensors(model: Model) -> dict[str, Tensor]:
    """The last tensor of the main graph that each layer has a part in, but outputs, which are named otherwise."""
    given = set(model.graph.outputs)
    return {name: t for t, names in fused_layers(model).items() if t not in given for name in names}


def _recorded(model: Model) -> set[str]:
    layers = _record(model).get("layers")
    return set(layers) if isinstance(layers, dict) else set()


def _record(model: Model) -> dict[str, object]:
    entry = model.metadata.get(METADATA_NAME)
    try:
        return {} if entry is None else unpack_record(entry)
    except FileFormatError:  # names are a convenience: a damaged note must not stop a measurement
        return {}


def _constants(op: Op) -> Iterator[Tensor]:
    return (t for t in op.inputs if t is not None and t.data is not None)


def written_layer(name: str) -> str | None:
    """The layer whose lowering gave a tensor its name; None: none did. To be believed in files of tfmpq's only."""
    found = _WRITTEN.fullmatch(name)
    return None if found is None else found["layer"]


def _numbered(model: Model) -> bool:
    """Whether the components of paths end in a number, as Keras 3 exports them."""
    names = [t.name for op in model.graph.ops for t in (*_constants(op), *op.outputs)]
    paths = [part.split("/")[:-1] for name in names if not written_layer(name) for part in name.split(";")]
    parts = [part for path in paths for part in path if part not in _INNER]
    return sum(bool(re.search(r"_\d+$", part)) for part in parts) > _MOST * len(parts)


def _name(op: Op, known: set[str], strip: bool, written: bool) -> str | None:
    if written:
        for tensor in (t for t in (*op.inputs, *op.outputs) if t is not None):
            found = written_layer(tensor.name)  # what a layer's last operator writes has the name that stock gave it
            if found in known:
                return found
    weight = [t.name for t in op.inputs[1:2] if t is not None and t.data is not None and "/" in t.name]
    whole = [*weight, *(t.name for t in op.outputs)]
    candidates = [part for name in whole for part in name.split(";") if "/" in part]
    for candidate in candidates:
        found = longest_path(name_parts(candidate, strip), known)
        if found:
            return found
    paths = [(candidate, path) for candidate in candidates if (path := _layer(candidate, strip))]
    own = [path for candidate, path in paths if _is_own(candidate, op)]
    return next(iter([*own, *(path for _, path in paths)]), None)


def _is_own(candidate: str, op: Op) -> bool:
    """Whether the last component is what TensorFlow calls this operator: a name may list several fused ones."""
    leaf = candidate.rsplit("/", 1)[-1].lower()
    return leaf.startswith((*_KERNELS, op.name.split("_")[0].lower()))


def _layer(name: str, strip: bool) -> str:
    """The path between the model's own name and the operator's; all of it but the operator if there is no more."""
    raw = name.split("/")[:-1]
    parts = [short for short, part in zip(name_parts(name, strip)[:-1], raw, strict=True) if part not in _INNER]
    return "/".join(parts[1:] or parts)
