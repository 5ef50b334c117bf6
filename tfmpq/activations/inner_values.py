"""Values of inner tensors of a float model on samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from converters.frontend.float_file import graph_order
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, Tensor
from converters.tflite.probe import probe

Sample = Mapping[str, np.ndarray]


def inner_values(
    model: Model, tensors: Sequence[Tensor], samples: Iterable[Sample]
) -> Iterator[dict[Tensor, np.ndarray]]:
    """Values of some tensors, sample by sample.

    Args:
        model: float.
        tensors: of its main graph: inputs, or written by an operator; each once.
        samples: dicts by input name, with the batch dimension.

    Raises:
        FileFormatError: The runtime refuses the part of the model that computes them, or fails to run it.
    """
    if not tensors:
        return
    names = dict(zip(model.graph.inputs, graph_order(model, "the model"), strict=True))
    computed = [t for t in tensors if t not in names]
    interpreter = make_interpreter(probe(model, computed)) if computed else None
    for sample in samples:
        values = {t: np.asarray(sample[names[t]]) for t in tensors if t in names}
        if interpreter is not None:
            values |= dict(zip(computed, run(interpreter, sample), strict=True))
        yield values
