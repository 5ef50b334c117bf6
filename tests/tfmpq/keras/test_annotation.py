"""Settings on layers and models: what they survive, and which ones win."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

import tfmpq.keras as plugin
from converters.errors import ModelError, OptionError
from tests.support.keras_nets import NETS, data, reloaded, separable, shared
from tfmpq.keras import Annotate, SimulationSettings, annotate
from tfmpq.keras.source import find_wrappers

THREE, FOUR = SimulationSettings(bits=3), SimulationSettings(bits=4, points=(1, 2, 1, 2))


def settings_of(model: Any) -> dict[str, SimulationSettings]:
    return {path: wrapper.settings for path, wrapper in find_wrappers(model).items()}


@pytest.mark.parametrize("name", NETS)
def test_an_annotated_model_is_a_copy_that_computes_the_same(name: str):
    model = NETS[name]()
    x = data(model, 4)
    before = model(x).numpy()
    annotated = annotate(model, THREE)
    np.testing.assert_array_equal(annotated(x).numpy(), before)
    for variable in annotated.trainable_variables:
        variable.assign(variable * 2)
    np.testing.assert_array_equal(model(x).numpy(), before)
    assert settings_of(annotated)
    assert not settings_of(model)


def test_settings_survive_cloning_and_files(tmp_path: Path):
    annotated = annotate(shared(), THREE)
    annotate(annotated.get_layer("twice"), FOUR)
    x = data(annotated, 4)
    wanted = {"block/conv": THREE, "twice": FOUR, "scores": THREE}
    assert settings_of(annotated) == wanted
    assert settings_of(keras.models.clone_model(annotated)) == wanted
    loaded = reloaded(annotated, tmp_path / "model.keras")
    assert settings_of(loaded) == wanted
    np.testing.assert_array_equal(loaded(x).numpy(), annotated(x).numpy())


def test_a_single_layer_wins_before_and_after_the_model():
    image = keras.Input((4, 4, 2))
    x = annotate(keras.layers.Conv2D(4, 1, name="early"), FOUR)(image)
    x = keras.layers.Conv2D(4, 1, name="plain")(x)
    model = annotate(keras.Model(image, keras.layers.Conv2D(4, 1, name="late")(x)), THREE)
    assert annotate(model.get_layer("late"), FOUR) is model.get_layer("late")
    assert settings_of(model) == {"early": FOUR, "plain": THREE, "late": FOUR}


def test_match_chooses_layers_by_path():
    assert set(settings_of(annotate(shared(), THREE, match="^block/"))) == {"block/conv"}
    with pytest.raises(ModelError, match=r"matches 'sten'.*'stem', 'depthwise', 'project', 'classifier'"):
        annotate(separable(), THREE, match="sten")
    with pytest.raises(OptionError, match="no regular expression"):
        annotate(separable(), THREE, match="(")
    with pytest.raises(OptionError, match="'conv' is a layer"):
        annotate(keras.layers.Conv2D(1, 1, name="conv"), THREE, match="conv")


def test_annotated_layers_can_be_called_before_they_are_built():
    dense = keras.layers.Dense(2, name="dense")
    model = keras.Sequential([keras.Input((3,)), annotate(dense, THREE)])
    assert isinstance(model.get_layer("dense"), Annotate)
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(model(x).numpy(), dense(x).numpy())
    assert model.count_params() == 3 * 2 + 2


def test_annotating_twice_says_how_to_change_a_layer():
    with pytest.raises(ModelError, match=r"no layer to annotate\. To change .* annotate\(model\.get_layer"):
        annotate(annotate(separable(), THREE), FOUR)


class _Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="own")
        self.dense = keras.layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


class _Own(keras.layers.Conv2D):
    pass


def _lora() -> Any:
    layer = keras.layers.Dense(4, name="low_rank")
    layer.build((None, 8))
    layer.enable_lora(2)
    return layer


MIX_UPS: dict[str, tuple[Callable[[], Any], str]] = {
    "tf_keras layer": (lambda: tf_keras.layers.Dense(2), r"tf_keras.*Keras 2.*import keras.*tfmpq\.quantize_config"),
    "tf_keras model": (lambda: tf_keras.Sequential([tf_keras.layers.Dense(2)]), "is an object of tf_keras"),
    "class": (lambda: keras.layers.Dense, r"Dense is a class.*Dense\(\.\.\.\)"),
    "path": (lambda: "model.keras", "builtins.str is neither a Keras 3 layer nor a Keras 3 model"),
    "no weights": (lambda: keras.layers.ReLU(name="relu"), r"'relu' \(ReLU\)"),
    "recurrent": (lambda: keras.layers.LSTM(3, name="memory"), r"'memory' \(LSTM\) cannot be simulated.*Conv2D"),
    "own layer": (lambda: _Own(3, 3, name="mine"), r"'mine' \(_Own\) cannot be simulated.*not subclasses"),
    "LoRA": (_lora, "'low_rank' .*LoRA"),
    "subclassed": (_Subclassed, r"'own' \(_Subclassed\) is subclassed.*keras\.Model\(inputs, outputs\)"),
    "unbuilt": (lambda: keras.Sequential([keras.layers.Dense(2)]), r"is not built.*keras\.Input"),
    "nothing there": (lambda: keras.Sequential([keras.Input((3,)), keras.layers.ReLU()]), "no layer to annotate"),
}


@pytest.mark.parametrize("name", MIX_UPS)
def test_mix_ups(name: str):
    make, message = MIX_UPS[name]
    with pytest.raises(ModelError, match=message):
        annotate(make(), THREE)


def test_a_layer_without_weights_is_told_so():
    layer = keras.layers.ReLU(name="relu")
    layer(np.zeros((1, 2)))
    with pytest.raises(ModelError, match=r"'relu' \(ReLU\) has no weights: there is nothing to annotate"):
        annotate(layer, THREE)


def test_config_must_be_settings():
    with pytest.raises(OptionError, match=r"must be tfmpq\.keras\.SimulationSettings, not dict"):
        annotate(keras.layers.Dense(2), {"bits": 3})  # pyright: ignore[reportArgumentType]


def test_public_names_exist():
    assert all(hasattr(plugin, name) for name in plugin.__all__)
