"""Whether scaled channels bring the int8 file nearer to float, measured at its outputs."""

from __future__ import annotations

import numpy as np

from converters.errors import FileFormatError
from tfmpq.activations.base import base_of, runs
from tfmpq.activations.equalization.descent import Noise
from tfmpq.activations.output_noise import noises, read_outputs
from tfmpq.activations.subject import Case, Subject

_JUDGED = 32  # most samples


def is_better(before: Subject, after: Subject, case: Case, predicted: tuple[Noise, Noise]) -> bool:
    """Whether noise falls: of activations as held-back samples measure it, of rounded rows as it is predicted.

    What a channel is predicted to gain leaves out what it loses on data that nothing was measured on: once all channels
    fill the int8 range, all of them are clipped where they go beyond what was seen, and before only the largest ones.
    Rows have 8 bits in both files; the noise of fewer bits is counted in proportion to that of activations.

    Args:
        before, after: the float models, with measured ranges.
        case: the conversion.
        predicted: noise of both.

    Returns:
        True where nothing can be measured: then predictions decide.

    Raises:
        ConversionError: TensorFlow cannot quantize one of them.
    """
    samples = case.data.judge[:_JUDGED]
    activations = float(predicted[0].activations.sum())
    if not samples or activations <= 0:
        return True
    files = [base_of(subject, case) for subject in (before, after)]
    if not all(runs(file.content, case) for file in files):
        return False
    try:
        reference = read_outputs(before.model, samples)
        if not reference.values:
            return True
        # The mean of decibels: one odd sample does not decide.
        found = [np.exp(np.log(noises(reference, read_outputs(file.model, samples))).mean()) for file in files]
    except FileFormatError:  # later stages say why the runtime refuses it
        return True
    rounding = [float(noise.weights.sum()) / activations * found[0] for noise in predicted]
    return found[1] + rounding[1] < found[0] + rounding[0]
