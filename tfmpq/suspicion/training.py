"""Signs that data are not like those the model was trained on: what reaches its first batch normalizations.

Measured with 32 samples of each network of a small zoo (median over channels of the divergence below):

    right data: 0.002 .. 0.1 (four image classifiers), 0.6 (a detector on photos with white backgrounds)
    wrong ranges: 0.35 .. 5, where 0..255 is given for another or another for it 4 to 200,000; zeros: 13

So a divergence above 2 is wrong by itself, and a smaller one where another range of the same pixels fits far better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from converters.frontend.float_model import FloatModel
from converters.frontend.normalizations import FirstNormalizations, Normalization, first_normalizations
from converters.layers.names import name_parts
from tfmpq.suspicion.pixels import Images, PixelRange
from tfmpq.suspicion.samples import Sample
from tfmpq.suspicion.suspicion import Suspicion

WRONG = 2.0
# Above the first, if another range is so many times nearer. Right photos of half the contrast stay below (0.3).
DOUBTFUL, BETTER = 0.3, 4.0
_FEWEST = 8  # samples from which a doubt is reasonable
_LEAST_RATIO = 1e-12  # of variances: a constant is far from everything, not infinitely far


@dataclass(frozen=True)
class Match:
    """Inputs of one batch normalization against its moving averages; medians over channels.

    Attributes:
        name: the layer's.
        ratio: variance of the data / moving variance.
        shift: distance of the means in moving standard deviations.
        divergence: of the two normal distributions (Kullback-Leibler); 0: the same.
    """

    name: str
    ratio: float
    shift: float
    divergence: float


def load_normalizations(model: FloatModel) -> FirstNormalizations | None:
    """The model's first batch normalizations; None where it has none, or none can be found."""
    if model.trace is None:
        return None
    try:
        return first_normalizations(model.trace)
    except Exception:  # whatever TensorFlow meets in a foreign graph: a check that cannot be made stops nothing
        return None


def worst_match(found: FirstNormalizations, samples: Iterable[Sample]) -> Match:
    """The normalization whose inputs are the least like those of training."""
    count, sums, squares = 0, [], []
    for sample in samples:
        values = [v.astype(np.float64) for v in found.run(sample)]
        means, seconds = [v.mean(axis=0) for v in values], [(v**2).mean(axis=0) for v in values]
        sums = [a + b for a, b in zip(sums, means, strict=True)] if count else means
        squares = [a + b for a, b in zip(squares, seconds, strict=True)] if count else seconds
        count += 1
    matches = [_match(n, s / count, q / count) for n, s, q in zip(found.found, sums, squares, strict=True)]
    return max(matches, key=lambda match: match.divergence)


def _match(known: Normalization, mean: np.ndarray, second: np.ndarray) -> Match:
    # A channel that never varied in training says nothing by its ratio.
    expected = np.maximum(known.variance, 1e-6 * np.median(known.variance) + 1e-30)
    ratio = np.maximum((second - mean**2) / expected, 0)
    shift = np.abs(mean - known.mean) / np.sqrt(expected)
    divergence = 0.5 * (ratio - 1 - np.log(np.maximum(ratio, _LEAST_RATIO)) + shift**2)
    return Match(known.name, *(float(np.median(v)) for v in (ratio, shift, divergence)))


def training_sign(
    model: FloatModel, found: FirstNormalizations, samples: Sequence[Sample], images: Images | None
) -> Suspicion | None:
    """A suspicion against data that are not like those of training.

    Args:
        model: whose layers are named.
        found: its first batch normalizations.
        samples: some of the data.
        images: what the samples are if they are images.
    """
    given = worst_match(found, samples)
    if not given.divergence > DOUBTFUL:  # NaN: exploding activations are found later, with more to say
        return None
    best, match = _best(found, samples, images)
    better = match is not None and match.divergence * BETTER < given.divergence
    if given.divergence <= WRONG and not (better and len(samples) >= _FEWEST):
        return None
    name = name_parts(given.name, model.names.keras_generation == 3)[-1]
    text = (
        f"The representative data are not like those that {model.source} was trained on: at its batch normalization "
        f"'{name}' their variance is {_number(given.ratio)} times the moving variance (right data: about 1), and their "
        f"mean lies {_number(given.shift)} standard deviations off."
    )
    if images is None:
        text += " Preprocess them as in training."
    elif best is not None and match is not None and better:
        text += (
            f" They seem to be pixels as {images.range.range}; as {best.range} they would fit (variance "
            f"{_number(match.ratio)} times, mean {_number(match.shift)} off). With pixels 0..255, give {best.formula}: "
            f"on the command line {best.option}."
        )
    elif images.grey:
        text += " They are all grey, which is right only if the model will meet grey images: give colour ones."
    else:
        text += (
            f" They seem to be pixels as {images.range.range}, and no other usual range fits much better: look at the "
            "order of channels, mean and standard deviation in the model's preprocessing."
        )
    return Suspicion("data", "not as in training", text)


def _best(
    found: FirstNormalizations, samples: Sequence[Sample], images: Images | None
) -> tuple[PixelRange | None, Match | None]:
    """The range in which these images fit best."""
    if images is None:
        return None, None
    channels = samples[0][images.name].shape[images.axis]
    matches = [(r, worst_match(found, images.in_range(samples, r))) for r in images.others() if r.fits(channels)]
    return min(matches, key=lambda pair: pair[1].divergence)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
