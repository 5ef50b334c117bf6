"""The samples on which two files of one network differ most: what either says, and the image if they are images."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.frontend.unknown_file import open_file
from converters.layers.output_kind import output_kind
from converters.runtime import interpreter as runtime
from converters.runtime.values import dequantize
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.analysis.diff import Samples, Source
from tfmpq.analysis.diff_files import ComparedFile, pair_inputs

_MOST = 6
_TOP = 3  # answers that are shown
_CHANNELS = (1, 3)  # of images
_LEAST_SIDE = 4  # pixels; smaller inputs are no images

Answer = tuple[int, float]  # class, and its score


@dataclass(frozen=True, eq=False)
class WorstSample:
    """A sample.

    Attributes:
        number: its place among the samples.
        sqnr_db: first file's outputs over the difference, of the worst output; inf: they are equal.
        first, second: the highest scores of either file; empty: the network is no classifier.
        image: (height, width, channels) as the model is given it; None: its input is no image.
    """

    number: int
    sqnr_db: float
    first: tuple[Answer, ...]
    second: tuple[Answer, ...]
    image: np.ndarray | None

    @property
    def changed(self) -> bool:
        """Whether the files give it different classes."""
        return self.first[:1] != () and self.first[0][0] != self.second[0][0]


@dataclass(frozen=True)
class WorstSamples:
    """Result of :func:`worst_samples`.

    Attributes:
        samples: the worst ones: those whose class changes first, then by SQNR.
        count: how many were run.
        changed: of how many the class changes; None: the network is no classifier.
    """

    samples: tuple[WorstSample, ...]
    count: int
    changed: int | None


def worst_samples(
    first: Source, second: Source, samples: Samples, *, most: int = _MOST, signature: str | None = None
) -> WorstSamples:
    """Finds the samples that two files answer most differently.

    Args:
        first, second, samples, signature: see :func:`tfmpq.analysis.diff.diff`.
        most: how many are kept.

    Raises:
        DataError: The samples do not fit.
        FileFormatError: A file cannot be read or run.
    """
    files = [ComparedFile(source, signature) for source in (first, second)]
    names = pair_inputs(*files)
    classes = output_kind(files[0].model.graph) == "classes"
    interpreters = [open_file(file.content, kernels=file.kernels, label=file.label) for file in files]
    kept: list[tuple[tuple[bool, float], int, WorstSample]] = []
    count = changed = 0
    for feed in samples():
        real = _outputs(interpreters[0], feed)
        found = _outputs(interpreters[1], {names[name]: values for name, values in feed.items()})
        sample = _compared(count, feed, _pairs(real, found), classes=classes)
        count += 1
        changed += sample.changed
        order = (sample.changed, math.inf if math.isnan(sample.sqnr_db) else -sample.sqnr_db)
        heapq.heappush(kept, (order, -sample.number, sample))
        if len(kept) > most:
            heapq.heappop(kept)
    worst = tuple(sample for *_, sample in sorted(kept, key=lambda entry: entry[:2], reverse=True))
    return WorstSamples(worst, count, changed if classes else None)


def _outputs(interpreter: Any, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    raw = runtime.run(interpreter, feed)
    return {d.name: dequantize(values, d) for values, d in zip(raw, runtime.outputs(interpreter), strict=True)}


def _pairs(real: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Outputs of both files: by name, or by position where quantization renamed them."""
    values = [found[name] for name in real] if set(real) == set(found) else found.values()
    return [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(real.values(), values, strict=True)]


def _compared(
    number: int, feed: Mapping[str, np.ndarray], pairs: Sequence[tuple[np.ndarray, np.ndarray]], *, classes: bool
) -> WorstSample:
    noise = min(sqnr_db(float((a**2).sum()), float(((a - b) ** 2).sum())) for a, b in pairs)
    first, second = (_answers(values) if classes else () for values in pairs[0])
    return WorstSample(number, noise, first, second, _image(list(feed.values())))


def _answers(scores: np.ndarray) -> tuple[Answer, ...]:
    """Highest scores of the first row."""
    row = scores.reshape(-1, scores.shape[-1])[0]
    return tuple((int(i), float(row[i])) for i in np.argsort(-row, kind="stable")[:_TOP])


def _image(inputs: Sequence[np.ndarray]) -> np.ndarray | None:
    """The first of a batch, where the only input is images."""
    if len(inputs) != 1:
        return None
    values = np.asarray(inputs[0])
    is_image = values.ndim == 4 and values.shape[-1] in _CHANNELS and min(values.shape[1:3]) >= _LEAST_SIDE
    return values[0].copy() if is_image else None
