"""Looks at representative data before any work: do they seem to be what the model was made for?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.errors import FileFormatError
from converters.frontend.float_model import FloatModel
from converters.tflite.graph import Model
from tfmpq.data.representative import RepresentativeData
from tfmpq.suspicion.pixels import recognize
from tfmpq.suspicion.predictions import Predictions, predict, prediction_signs, saturation_sign
from tfmpq.suspicion.samples import Sample, look_at_some, sample_signs
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.suspicion.training import load_normalizations, training_sign


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen.

    Attributes:
        suspicions: the weightiest first; none for data that seem right.
        samples: those that were looked at.
        predictions: of the float model on them; None if it cannot be run, which later stages say better.
    """

    suspicions: tuple[Suspicion, ...]
    samples: Sequence[Sample]
    predictions: Predictions | None


def look_at_data(data: RepresentativeData, float_model: FloatModel, model: Model) -> Look:
    """Looks at a few dozen samples.

    Args:
        data: checked samples.
        float_model: the model.
        model: its float file, parsed.
    """
    samples = look_at_some(data)
    suspicions = list(sample_signs(data.images, samples))
    try:
        predictions = predict(float_model.flatbuffer, samples)
    except FileFormatError:
        return Look(tuple(suspicions), samples, None)
    if all(s.sign != "constant inputs" for s in suspicions):  # of which the rest would follow
        try:
            found = _content_signs(samples, float_model, model, predictions)
        except Exception:  # a look at the data must never stop a conversion, whatever TensorFlow makes of the model
            found = list(prediction_signs(predictions, model.graph))
        suspicions = [*found, *suspicions]
    return Look(tuple(suspicions), samples, predictions)


def _content_signs(
    samples: Sequence[Sample], float_model: FloatModel, model: Model, predictions: Predictions
) -> list[Suspicion]:
    images = recognize(float_model.inputs, samples)
    found = load_normalizations(float_model)
    if found is not None:
        first = training_sign(float_model, found, samples, images)
    else:
        first = saturation_sign(model, samples, images)
    return [*([first] if first is not None else []), *prediction_signs(predictions, model.graph)]
