from typing import Any

import keras
import numpy as np
import pytest

from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from tests.support.photo_nets import classifier, photos, to_minus_one_one
from tfmpq.suspicion.pixels import IMAGENET, MINUS_ONE_ONE, RAW, ZERO_ONE, PixelRange, recognize
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.suspicion.training import load_normalizations, training_sign, worst_match

PHOTOS = photos(32, seed=1)
RANGES = [RAW, ZERO_ONE, MINUS_ONE_ONE, IMAGENET]


@pytest.fixture(scope="module", params=RANGES, ids=lambda r: r.range)
def trained(request: Any) -> tuple[PixelRange, FloatModel]:
    """A network trained on one range, on other photos than those it is given."""
    return request.param, load_model(classifier(keras, request.param.preprocessing(photos(64))))


def samples(data: np.ndarray) -> list[dict[str, np.ndarray]]:
    return [{"image": image[None].astype(np.float32)} for image in data]


def sign(model: FloatModel, data: np.ndarray) -> Suspicion | None:
    found = load_normalizations(model)
    assert found is not None
    return training_sign(model, found, samples(data), recognize(model.inputs, samples(data)))


@pytest.mark.parametrize("given", RANGES, ids=lambda r: r.range)
def test_every_wrong_range_is_seen_and_the_right_one_advised(given: PixelRange, trained: tuple[PixelRange, FloatModel]):
    right, model = trained
    suspicion = sign(model, given.preprocessing(PHOTOS))
    if given is right:
        assert suspicion is None
    else:
        assert suspicion is not None
        assert "'stem_bn'" in suspicion.text
        assert right.option in suspicion.text


def test_darker_or_flatter_photos_are_right(trained: tuple[PixelRange, FloatModel]):
    right, model = trained
    flat = (PHOTOS - 128) * 0.6 + 128
    assert sign(model, right.preprocessing(flat)) is None
    assert sign(model, right.preprocessing(PHOTOS * 0.8)) is None


def test_scaled_twice_and_no_image_range_at_all():
    model = load_model(classifier(keras, ZERO_ONE.preprocessing(photos(64))))
    suspicion = sign(model, PHOTOS / 255 / 255)
    assert suspicion is not None
    assert "twice?" in suspicion.text
    assert "--preprocess=zero_one" in suspicion.text
    suspicion = sign(model, PHOTOS * 40)  # no pixels
    assert suspicion is not None
    assert suspicion.text.endswith("Preprocess them as in training.")


def test_figures():
    model = load_model(classifier(keras, to_minus_one_one(PHOTOS)))
    found = load_normalizations(model)
    assert found is not None
    match = worst_match(found, samples(to_minus_one_one(PHOTOS)))
    # The same data; the averages are float32.
    assert match.ratio == pytest.approx(1, abs=1e-3)
    assert match.shift == pytest.approx(0, abs=1e-3)
    assert match.divergence == pytest.approx(0, abs=1e-3)
    wide = worst_match(found, samples(PHOTOS))
    assert wide.ratio == pytest.approx(127.5**2, rel=1e-3)  # as linear as a convolution


def test_a_graph_that_cannot_be_searched_stops_nothing():
    def trace() -> Any:
        raise ValueError("no such op")

    model = load_model(classifier(keras, to_minus_one_one(PHOTOS)))
    broken = FloatModel(model.flatbuffer, model.inputs, model.names, model.source, trace=trace)
    assert load_normalizations(broken) is None
    assert load_normalizations(load_model(model.flatbuffer)) is None
