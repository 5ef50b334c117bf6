"""Values and ranges of inner activations of a float model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from converters.tflite.graph import Model, Tensor
from tfmpq.activations.values.inner_values import in_parts, inner_values

_POSITIONS = 512  # of a sample


class Excerpts(Mapping[str, np.ndarray]):
    """Values of activations, by name: float64 (positions, channels), kept in half of that memory.

    Args:
        kept: name -> float32 (positions, channels).
    """

    def __init__(self, kept: Mapping[str, np.ndarray]) -> None:
        self._kept = kept

    def __getitem__(self, name: str) -> np.ndarray:
        return self._kept[name].astype(np.float64)

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def read_values(model: Model, names: Sequence[str], samples: Iterable[Mapping[str, np.ndarray]]) -> Excerpts:
    """Values of activations.

    Of large ones some positions, evenly spaced: the same ones of all activations of one shape.

    Args:
        model: float.
        names: of activations of the main graph, its inputs too.
        samples: inputs by name; one run each.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for values in inner_values(model, _named(model, names), samples):
        for tensor, array in values.items():
            found[tensor.name].append(_some(array))
    return Excerpts({name: np.concatenate(found.pop(name)) for name in list(found)})


def read_ranges(
    model: Model, names: Sequence[str], samples: Callable[[], Iterable[Mapping[str, np.ndarray]]]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of activations, by name.

    Args:
        model: float.
        names: of activations of the main graph, its inputs too.
        samples: gives inputs by name; one run each, or several where the activations are large.
    """
    low, high = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    for part in in_parts(_named(model, names)):
        for values in inner_values(model, part, samples()):
            for tensor, array in values.items():
                name = tensor.name
                low[name] = min(low[name], float(array.min(initial=np.inf)))
                high[name] = max(high[name], float(array.max(initial=-np.inf)))
    return {name: (low[name], high[name]) for name in names}


def _named(model: Model, names: Sequence[str]) -> list[Tensor]:
    known = {t.name: t for t in (*model.graph.inputs, *(t for op in model.graph.ops for t in op.outputs))}
    return [known[name] for name in dict.fromkeys(names)]


def _some(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    return flat[:: max(1, len(flat) // _POSITIONS)].copy()
