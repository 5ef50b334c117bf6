"""Signs in the samples alone: too few, or nothing in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from tfmpq.data.calibration_files import spaced
from tfmpq.data.representative import RepresentativeData
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import plural

Sample = Mapping[str, np.ndarray]

LOOKED_AT = 32  # a few dozen: what is looked for is gross
# From so few samples neither ranges nor whether classes are missing can be told; tutorials take 100, and the report
# needs 32 to hold some back.
FEW = 16
_BLANK_SHARE = 0.5  # of the samples; photos have a black one now and then
_LARGE = 16  # values; smaller inputs may well be one number


def look_at_some(data: RepresentativeData) -> list[dict[str, np.ndarray]]:
    """Some of the samples, evenly spaced: data sorted by class start with one class."""
    wanted = frozenset(spaced(data.images, LOOKED_AT))
    picked = (s for i, s in enumerate(data.originals()) if i in wanted)
    return list(islice(picked, LOOKED_AT))


def sample_signs(count: int, samples: Sequence[Sample]) -> Iterator[Suspicion]:
    """Suspicions against samples; ``count`` is the number of all, ``samples`` are some of them."""
    yield from _without_content(samples)
    if count < FEW:
        yield Suspicion(
            "data",
            "few samples",
            f"There {'is' if count == 1 else 'are'} only {plural(count, 'sample')} of representative data: the ranges "
            "of activations and the statistics of layers will be those of these samples. Give about 100, as different "
            "from one another as what the model will meet.",
        )


def _without_content(samples: Sequence[Sample]) -> Iterator[Suspicion]:
    first = samples[0]
    # Other inputs may be constant, as the masks of texts of one length are; all of them may not.
    if len(samples) > 1 and all(np.array_equal(s[name], first[name]) for s in samples[1:] for name in first):
        yield Suspicion("data", "constant inputs", _same_text(samples))
        return
    if len(first) > 1:
        return
    (name,) = first
    blank = sum(s[name].size >= _LARGE and np.ptp(s[name]) == 0 for s in samples)
    if blank >= _BLANK_SHARE * len(samples):
        yield Suspicion(
            "data",
            "constant inputs",
            f"{blank} of {plural(len(samples), 'sample')} looked at hold one single value everywhere (input '{name}'). "
            "Is the data loader broken, or are the values scaled twice and rounded? Give real samples.",
        )


def _same_text(samples: Sequence[Sample]) -> str:
    values = {name: np.unique(value) for name, value in samples[0].items()}
    alike = f"All {len(samples)} samples of representative data that were looked at are the same"
    if all(len(v) == 1 for v in values.values()):
        alike += ": " + ", ".join(f"input '{name}' is {v[0]:g} everywhere" for name, v in values.items())
    return (
        f"{alike}. int8 ranges and 4-bit weights fitted to them are wrong for everything else. Give about 100 "
        "different real samples."
    )
