"""Which activations have an int8 scale of their own, and whose the others have: asked of TensorFlow's quantizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from converters.frontend.float_model import FloatModel, Samples
from converters.frontend.tf_converter import int8_twin
from converters.tflite.reader import load

_LEVELS = 255
_LEAST = -128  # the zero point of a range that begins at 0
_TOLERANCE = 0.01  # of the distance between two tags, which float32 scales keep apart by far


def scale_owners(float_model: FloatModel, samples: Samples, names: Iterable[str]) -> dict[str, str]:
    """Tells who has whose scale: each tensor is given a range like no other, and the scales of the file are read.

    Which operators pass scales on, in which direction, and what becomes of tensors that two of them claim, is laid down
    in TensorFlow alone and does not depend on the ranges.

    Args:
        float_model: from ``load_model``.
        samples: gives an iterator of at least one sample.
        names: the activations of its main graph that have ranges, from ``measured_twin``.

    Returns:
        Tensor name -> the tensor whose range makes its scale, often itself. What is computed in float, has a fixed
        scale, or shares its name with another tensor is left out.

    Raises:
        ConversionError: As :func:`converters.frontend.tf_converter.int8_twin`.
    """
    known = sorted(set(names))
    if not known:
        return {}
    tags = {name: (0.0, 1 + number / len(known)) for number, name in enumerate(known)}
    graph = load(int8_twin(float_model, samples, ranges=tags)).graph
    floats = load(float_model.flatbuffer).graph
    written = Counter(tensor.name for tensor in (*floats.inputs, *(t for op in floats.ops for t in op.outputs)))
    owners: dict[str, str] = {}
    for tensor in graph.tensors():
        scaled = tensor.data is None and tensor.quantization is not None and tensor.quantization.scale.size == 1
        if not scaled or written[tensor.name] != 1 or tensor.zero_point != _LEAST:
            continue
        number = (tensor.scale * _LEVELS - 1) * len(known)
        nearest = round(number)
        if abs(number - nearest) < _TOLERANCE and 0 <= nearest < len(known):
            owners[tensor.name] = known[nearest]
    return {name: owner for name, owner in owners.items() if written[owner] == 1}
