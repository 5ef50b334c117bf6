"""Values of inner tensors of a float model on samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

import numpy as np

from converters.frontend.float_file import graph_order
from converters.runtime.interpreter import run
from converters.runtime.probes import probe_interpreter
from converters.tflite.graph import Model, Tensor
from tfmpq.threads import INFERENCE_THREADS

Sample = Mapping[str, np.ndarray]

_MEMORY = 1 << 28  # bytes of activations that a run gives; the model runs once more for each further part


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
    interpreter = probe_interpreter(model, computed, threads=INFERENCE_THREADS) if computed else None
    for sample in samples:
        values = {t: np.asarray(sample[names[t]]) for t in tensors if t in names}
        if interpreter is not None:
            values |= dict(zip(computed, run(interpreter, sample), strict=True))
        yield values


def in_parts(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in groups whose values fit into memory together, for :func:`inner_values`."""
    part: list[Tensor] = []
    size = 0
    for tensor in tensors:
        own = 4 * prod(max(n, 1) for n in tensor.shape)
        if part and size + own > _MEMORY:
            yield part
            part, size = [], 0
        part.append(tensor)
        size += own
    if part:
        yield part


def inner_rows(
    model: Model, tensors: Sequence[Tensor], samples: Iterable[Sample], values: int
) -> dict[Tensor, list[np.ndarray]]:
    """Of some tensors a few rows of each sample, so that all of them fit into memory.

    Args:
        model, tensors, samples: as for :func:`inner_values`.
        values: how many of a sample, about.

    Returns:
        Tensor -> of each sample (rows, last dimension), float64; see :func:`some_rows`.

    Raises:
        FileFormatError: As :func:`inner_values`.
    """
    found: dict[Tensor, list[np.ndarray]] = {t: [] for t in tensors}
    for run_values in inner_values(model, tensors, samples):
        for tensor, value in run_values.items():
            rows = as_rows(value)
            found[tensor].append(rows[some_rows(rows, values)].astype(np.float64))
    return found


def as_rows(value: np.ndarray) -> np.ndarray:
    """(rows, last dimension)."""
    return value.reshape(-1, value.shape[-1]) if value.ndim and value.size else value.reshape(-1, 1)


def some_rows(rows: np.ndarray, values: int) -> np.ndarray:
    """Numbers of rows, evenly spaced, that have about so many values; those of the extremes are among them."""
    if not rows.size:
        return np.empty(0, np.int64)
    tops = rows.max(-1)
    extremes = [int(rows.min(-1).argmin()), int(tops.argmax()), int(tops.argmin())]
    return np.unique([*range(0, len(rows), max(rows.size // max(values, 1), 1)), *extremes])
