from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.frontend.normalizations import FirstNormalizations, first_normalizations
from tests.support.photo_nets import classifier, photos, to_minus_one_one

DATA = to_minus_one_one(photos(8))


def found_in(model: Any) -> FirstNormalizations | None:
    trace = load_model(model).trace
    assert trace is not None
    return first_normalizations(trace)


def check(found: FirstNormalizations | None, model: Any, package: Any, name: str) -> None:
    """What is found is the layer's own statistics, and what it computes is the layer's input."""
    assert found is not None
    (normalization,) = found.found
    assert name in normalization.name
    layer = model.get_layer("stem_bn")
    np.testing.assert_allclose(normalization.mean, layer.moving_mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(normalization.variance, layer.moving_variance.numpy(), rtol=1e-6)
    expected = package.Model(model.input, layer.input)(DATA[:1]).numpy()
    (values,) = found.run({"image": DATA[:1]})
    # Float convolutions of two graphs may sum in another order.
    np.testing.assert_allclose(values, expected.reshape(-1, expected.shape[-1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_both_generations_of_keras(package: str):
    module = pytest.importorskip(package)
    model = classifier(module, DATA)
    check(found_in(model), model, module, "stem_bn")


def test_saved_models_keep_them(tmp_path: Path):
    model = classifier(keras, DATA)
    model.export(tmp_path / "saved", verbose=False)
    loaded = load_model(tmp_path / "saved")
    assert loaded.trace is not None
    found = first_normalizations(loaded.trace)
    assert found is not None
    np.testing.assert_allclose(found.found[0].variance, model.get_layer("stem_bn").moving_variance.numpy(), rtol=1e-6)
    assert found.run({loaded.inputs[0].name: DATA[:1]})[0].shape == (49, 12)


def test_channels_first_and_only_the_first_of_each_branch():
    image = keras.Input((3, 8, 8))
    branches = []
    for number in range(2):
        x = keras.layers.BatchNormalization(axis=1, name=f"first{number}")(image)
        x = keras.layers.BatchNormalization(axis=1, name=f"second{number}")(x + number)
        branches.append(x)
    model = keras.Model(image, keras.layers.Add()(branches))
    for number in range(2):
        for name in (f"first{number}", f"second{number}"):
            model.get_layer(name).set_weights([np.ones(3), np.zeros(3), np.arange(3.0), np.arange(1, 4.0)])
    found = found_in(model)
    assert found is not None
    assert sorted(n.name[:6] for n in found.found) == ["first0", "first1"]
    sample = np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8)
    (name,) = (spec.name for spec in load_model(model).inputs)
    values, _ = found.run({name: sample})
    np.testing.assert_array_equal(values, np.moveaxis(sample, 1, -1).reshape(-1, 3))


def test_untrained_or_none_say_nothing():
    untrained = keras.Sequential([keras.Input((8,)), keras.layers.BatchNormalization(), keras.layers.Dense(3)])
    assert found_in(untrained) is None
    assert found_in(classifier(keras, DATA, normalized=False)) is None
    assert load_model(load_model(untrained).flatbuffer).trace is None  # a float file holds no statistics


def test_models_without_normalizations_are_not_frozen(monkeypatch: pytest.MonkeyPatch):
    """Freezing takes several copies of all weights; a dense layer of 400 MB kept 2.4 GB for the whole conversion."""

    def freeze(traced: Any) -> Any:
        raise AssertionError("frozen")

    from tensorflow.python.framework import convert_to_constants

    monkeypatch.setattr(convert_to_constants, "convert_variables_to_constants_v2", freeze)
    image = keras.Input((8, 8, 3))
    assert found_in(keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)))) is None
    with pytest.raises(AssertionError, match="frozen"):
        found_in(classifier(keras, DATA))
