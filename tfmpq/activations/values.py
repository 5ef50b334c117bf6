"""Values of inner activations of a float model, some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model
from converters.tflite.probe import probe
from tfmpq.threads import INFERENCE_THREADS

_POSITIONS = 512  # of a sample


def read_values(
    model: Model, names: Sequence[str], samples: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Values of activations, by name: float64 (positions, channels).

    Of large ones some positions, evenly spaced: the same ones of all activations of one shape.

    Args:
        model: float.
        names: of activations of the main graph, its inputs too.
        samples: inputs by name; one run each.
    """
    read = _reader(model, names)
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for feeds in samples:
        for name, array in read(feeds).items():
            found[name].append(_some(array))
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items()}


def _some(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    return flat[:: max(1, len(flat) // _POSITIONS)].copy()


def read_ranges(
    model: Model, names: Sequence[str], samples: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of activations, by name.

    TensorFlow's calibrator looks at a tensor when a later operator may have written its own output in its place, as
    sums do, and then takes both ranges for one.

    Args:
        model: float.
        names: of activations of the main graph, its inputs too.
        samples: inputs by name; one run each.
    """
    read = _reader(model, names)
    low, high = (dict.fromkeys(names, sign * np.inf) for sign in (1, -1))
    for feeds in samples:
        for name, array in read(feeds).items():
            low[name], high[name] = min(low[name], float(array.min())), max(high[name], float(array.max()))
    return {name: (low[name], high[name]) for name in names}


def _reader(model: Model, names: Sequence[str]) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    inputs = {t.name for t in model.graph.inputs}
    called = {t.name: name for s in model.signatures[:1] for name, t in s.inputs}
    written = {t.name: t for op in model.graph.ops for t in op.outputs}
    inner = [name for name in dict.fromkeys(names) if name not in inputs]
    given = [name for name in dict.fromkeys(names) if name in inputs]
    interpreter = None
    if inner:
        interpreter = make_interpreter(probe(model, [written[name] for name in inner]), threads=INFERENCE_THREADS)

    def read(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = [] if interpreter is None else run(interpreter, feeds)
        return {**{n: feeds[called.get(n, n)] for n in given}, **dict(zip(inner, values, strict=True))}

    return read
