"""Files with their main graph in front -> as the user's file had them."""

from __future__ import annotations

from converters.frontend.float_model import Origin
from converters.tflite.calls import arranged
from converters.tflite.graph import Model
from converters.tflite.reader import load
from converters.tflite.writer import save


def as_brought(content: bytes, origin: Origin | None) -> bytes:
    """A file that was made of a whole one, with graphs, signatures and open sizes where they were.

    Args:
        content: with as many graphs and signatures.
        origin: how the whole file was; None: the content is as it should be.
    """
    if origin is None:
        return content
    model = load(content)
    graphs = [model.graphs[origin.graphs.index(place)] for place in range(len(origin.graphs))]
    signatures = [model.signatures[origin.signatures.index(place)] for place in range(len(origin.signatures))]
    if graphs == model.graphs and signatures == model.signatures and not origin.opened:
        return content
    result = arranged(model, graphs, signatures)
    return save(_with_placeholders(result) if origin.opened else result)


def _with_placeholders(model: Model) -> Model:
    """Sizes of 1 for all that are open, as exporters write them."""
    for tensor in (t for graph in model.graphs for t in graph.tensors()):
        if tensor.shape_signature is not None and -1 in tensor.shape_signature:
            tensor.shape = tuple(1 if n < 0 else n for n in tensor.shape_signature)
    return model
