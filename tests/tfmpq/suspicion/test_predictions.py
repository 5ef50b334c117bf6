from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.errors import ModelError
from converters.frontend.load import load_model
from converters.tflite.graph import Graph
from converters.tflite.reader import load
from tests.support.photo_nets import classifier, photos, to_minus_one_one
from tfmpq.suspicion.pixels import recognize
from tfmpq.suspicion.predictions import Predictions, check_finite, predict, prediction_signs, saturation_sign
from tfmpq.suspicion.samples import FEW

layers: Any = keras.layers  # whose annotations know no initializer objects
PHOTOS = photos(32)
RIGHT = to_minus_one_one(PHOTOS)


def samples(data: np.ndarray) -> list[dict[str, np.ndarray]]:
    return [{"image": image[None].astype(np.float32)} for image in data]


@pytest.mark.parametrize(("scale", "refused"), [(1.0, False), (1e25, True)])
def test_a_model_that_overflows_is_refused(scale: float, refused: bool):
    generator = np.random.default_rng(0)
    source = x = keras.Input((16,))
    for _ in range(2):
        dense = layers.Dense(16)
        x = dense(x)
        dense.kernel.assign(scale * generator.normal(size=(16, 16)))
    data = generator.normal(size=(40, 16)).astype(np.float32)
    model = keras.Model(source, x, name="net")
    if refused:
        with pytest.raises(ModelError, match=r"model 'net': output '.*' of the float model is NaN or infinite for the"):
            tfmpq.prepare(model, data, progress=False)
    else:
        assert tfmpq.prepare(model, data, progress=False).weighed is not None


def test_infinities_of_one_sign_are_a_logarithm_s():
    content = load_model(keras.Sequential([keras.Input((4,)), layers.Dense(3)])).flatbuffer
    graph, found = load(content).graph, Predictions()
    for value in (-np.inf, 0.0):
        found.add([np.full((1, 3), value, np.float32)])
    check_finite(found, graph, "it")
    found.add([np.array([[0, np.nan, 1]], np.float32)])
    with pytest.raises(ModelError, match="overflows"):
        check_finite(found, graph, "it")


def signs(model: keras.Model, data: np.ndarray) -> list[str]:
    content = load_model(model).flatbuffer
    return [s.sign for s in prediction_signs(predict(content, samples(data)), load(content).graph)]


def ended(*ends: Any) -> keras.Model:
    """The classifier with other last layers on its pooled features."""
    model = classifier(keras, RIGHT)
    x = model.get_layer("pool").output
    for layer in ends:
        x = layer(x)
    return keras.Model(model.input, x)


def counted(*labels: int, classes: int) -> Predictions:
    result = Predictions()
    for label in labels:
        result.add([np.eye(classes, dtype=np.float32)[label : label + 1] * (0.5 + 0.01 * result.count)])
    return result


def test_right_data_are_spread_over_classes():
    assert signs(classifier(keras, RIGHT), RIGHT) == []


def test_one_class():
    model = classifier(keras, RIGHT)
    one = RIGHT[:1] + np.random.default_rng(0).normal(0, 0.2, RIGHT.shape).astype(np.float32)
    assert signs(model, one) == ["one class"]
    assert signs(model, one[:15]) == []  # too few to tell


@pytest.mark.parametrize(
    ("labels", "classes", "suspected"),
    [
        ([0] * 24 + [1, 2, 3, 4, 5, 6, 7, 0], 8, True),  # 25 of 32
        ([0] * 20 + [1, 2, 3, 4] * 3, 8, False),
        ([0] * 29 + [1, 1, 1], 2, False),  # most are no persons
        ([0] * 32, 2, True),
    ],
)
def test_shares(labels: Sequence[int], classes: int, suspected: bool):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(classes), keras.layers.Softmax()])
    found = list(prediction_signs(counted(*labels, classes=classes), load(load_model(model).flatbuffer).graph))
    assert [s.sign for s in found] == ["one class"] * suspected
    if suspected:
        assert f"class 0 for {labels.count(0)} of 32" in found[0].text


def test_constant_predictions():
    model = classifier(keras, RIGHT)
    assert signs(model, RIGHT * 1e-6) == ["constant predictions"]
    dead = ended(layers.Dense(4, activation="relu", bias_initializer=keras.initializers.Constant(-1e6)))
    assert signs(dead, RIGHT) == ["constant predictions"]


def test_embeddings_and_regressions_have_no_classes():
    biased = layers.Dense(16, activation="relu", bias_initializer=lambda s, dtype: np.eye(16)[3] * 50)
    assert signs(ended(biased, keras.layers.UnitNormalization()), RIGHT) == []
    assert signs(ended(layers.Dense(1, bias_initializer=keras.initializers.Constant(10))), RIGHT) == []


@pytest.mark.parametrize("limit", [6.0, None])
def test_pixels_that_overdrive_the_first_layer_of_a_file(limit: float | None):
    image = keras.Input((16, 16, 3), name="image")
    # As folded: outputs of about 1 on the right data.
    stem = layers.Conv2D(8, 3, kernel_initializer=keras.initializers.RandomNormal(0, 0.5, seed=0))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU(limit)(stem(image)))
    model = load_model(keras.Model(image, layers.Dense(3)(x)))

    def sign(data: np.ndarray):
        return saturation_sign(load(model.flatbuffer), samples(data), recognize(model.inputs, samples(data)))

    found = sign(PHOTOS)
    assert found is not None
    assert "--preprocess=minus_one_one" in found.text
    assert ("ReLU6" in found.text) == (limit == 6.0)
    for right in (RIGHT, PHOTOS / 255, PHOTOS * 1.01):  # the last are no whole numbers
        assert sign(right) is None


def test_a_first_layer_for_0_255_is_not_suspected():
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = keras.layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(x))
    model = load_model(keras.Model(image, layers.Dense(3)(x)))
    images = recognize(model.inputs, samples(PHOTOS))
    assert saturation_sign(load(model.flatbuffer), samples(PHOTOS), images) is None


def test_logits_that_a_convolution_makes_are_classes_too():
    """Pooled behind it, as ResNet-like heads of 1x1 convolutions are."""
    model = classifier(keras, RIGHT)
    bias: Any = keras.initializers.Constant([9.0] + [0.0] * 7)  # pyright: ignore
    x = layers.Conv2D(8, 1, bias_initializer=bias)(layers.Reshape((1, 1, -1))(model.get_layer("pool").output))
    model = keras.Model(model.input, layers.GlobalAveragePooling2D()(x))
    assert signs(model, RIGHT) == ["one class"]


@pytest.mark.parametrize(("bias", "suspected"), [(9.0, True), (-9.0, True), (None, False)])
def test_one_number_between_0_and_1_is_two_classes(bias: float | None, suspected: bool):
    """Only where all samples are in one of them: what is looked for may be rare."""
    result = Predictions()
    for i in range(32):
        logit = (4.0 if i == 0 else -4.0) if bias is None else bias / 3 + 0.02 * bias * i
        result.add([np.array([[1 / (1 + np.exp(-logit))]])])
    graph = load(load_model(ended(layers.Dense(1, activation="sigmoid"))).flatbuffer).graph
    assert ("one class" in [s.sign for s in prediction_signs(result, graph)]) == suspected


def test_outputs_of_several_sizes_are_not_compared_element_by_element():
    uneven, even = Predictions(), Predictions()
    for number in range(FEW):
        uneven.add([np.ones((1, 2 + number % 2, 3), np.float32)])
        even.add([np.ones((1, 2, 3), np.float32)])
    graph = Graph([], [], [])
    assert [sign.sign for sign in prediction_signs(even, graph)] == ["constant predictions"]
    assert list(prediction_signs(uneven, graph)) == []
