"""Tensors called by their numbers, and back. What a file computes does not change: runtimes go by the numbers anyway.

Inputs, outputs and whatever signatures refer to keep their names, in all graphs. Layers that are to be expanded when
the file is loaded are told from their tensors' names (:mod:`converters.lowering.points_reader`): there, only the layer
becomes a number. Empty names would be a little shorter, but OpenVINO tells tensors apart by them.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection

from converters.layers.op_layers import written_layer
from converters.tflite.graph import Model
from converters.tflite.names import STRIPPED, Names, check_counts
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save


def strip_names(content: bytes, *, expandable: Collection[str] = (), keep: Collection[str] = ()) -> tuple[bytes, Names]:
    """A file without the names of its inner tensors, and these.

    Args:
        content: a .tflite file.
        expandable: layers that are expanded when the file is loaded.
        keep: keys of tfmpq's record that stay in the file; layers and the recipe are names, too.
    """
    model = load(content)
    names = tuple(tuple(t.name for t in graph.tensors()) for graph in model.graphs)
    entry = model.metadata.get(METADATA_NAME)
    record = {} if entry is None else unpack_record(entry)
    if entry is not None:
        kept = {key: value for key, value in record.items() if key in keep}
        model.metadata[METADATA_NAME] = pack_record({**kept, STRIPPED: True})
    _rename(model, expandable)
    stripped = save(model)
    return stripped, Names.of(stripped, names, record)


def put_back(model: Model, names: Names) -> Model:
    """The names of a file in its parsed form, which is changed; so is what tfmpq noted in it.

    Raises:
        FileFormatError: They are those of another file.
    """
    tensors = [list(graph.tensors()) for graph in model.graphs]
    check_counts(names, [len(known) for known in tensors])
    for known, own in zip(tensors, names.tensors, strict=True):
        for tensor, name in zip(known, own, strict=True):
            tensor.name = name
    if METADATA_NAME in model.metadata:
        model.metadata[METADATA_NAME] = pack_record(names.record)
    return model


def with_names(content: bytes, names: Names) -> bytes:
    """The file as it was before :func:`strip_names`."""
    return save(put_back(load(content), names))


def _rename(model: Model, expandable: Collection[str]) -> None:
    kept = {t for graph in model.graphs for t in (*graph.inputs, *graph.outputs)}
    kept.update(t for s in model.signatures for _, t in (*s.inputs, *s.outputs))
    taken = {t.name for t in kept}
    layers: dict[str, int] = {}
    for graph in model.graphs:
        numbers = (text for text in map(str, itertools.count()) if text not in taken)
        for tensor in (t for t in graph.tensors() if t not in kept):
            layer = written_layer(tensor.name)
            if layer is not None and layer in expandable:
                tensor.name = f"{layers.setdefault(layer, len(layers))}{tensor.name[len(layer) :]}"
            else:
                tensor.name = next(numbers)
